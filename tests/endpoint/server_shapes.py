"""What known servers answer to the options of a call, in their own words. docs/endpoints.md has a line for each."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from endpoint.fake_server import Answer, choices

Body = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """`refuse`: the error to a body, if any. `ignores`: options without effect. `left_out`: what is learned."""

    refuse: Callable[[Body], Answer | None]
    ignores: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()

    def answer(self, body: Body) -> Answer:
        refusal = self.refuse(body)
        if refusal is not None:
            return refusal
        n = 1 if "n" in self.ignores else body.get("n", 1)
        prose = "response_format" in self.ignores or "response_format" not in body
        text = body["messages"][0]["content"][-1]["text"]
        said = f"It is red. {text}" if prose else json.dumps({"said": text})
        return choices(*(f"{said} {body.get('seed')} {i}" for i in range(n)))


def told(status: int, error: Any) -> Answer:
    return Answer(json.dumps(error), status)


def has_picture(body: Body) -> bool:
    urls = [part["image_url"]["url"] for part in body["messages"][0]["content"] if part["type"] == "image_url"]
    return all(url.startswith("data:image/jpeg;base64,") for url in urls)


def takes_all(body: Body) -> Answer | None:
    return None


def ollama(body: Body) -> Answer | None:
    if not has_picture(body):
        error = {"message": "invalid image input", "type": "invalid_request_error", "param": None, "code": None}
        return told(400, {"error": error})
    return None


def llama_cpp(body: Body) -> Answer | None:
    if body.get("n", 1) != 1:
        error = {"code": 500, "message": "Only one completion choice is allowed", "type": "server_error"}
        return told(500, {"error": error})
    return None


def llama_cpp_slots(body: Body) -> Answer | None:
    if body.get("n", 1) > 2:
        message = "n_cmpl cannot be greater than the number of slots, please increase -np"
        return told(400, {"error": {"code": 400, "message": message, "type": "invalid_request_error"}})
    return None


def lm_studio(body: Body) -> Answer | None:
    if "response_format" in body:
        return told(400, {"error": "'response_format.type' must be 'text'"})
    return None


def vllm_greedy(body: Body) -> Answer | None:
    if body["temperature"] == 0 and body.get("n", 1) > 1:
        message = f"n must be 1 when using greedy sampling, got {body['n']}."
        return told(400, {"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400})
    return None


def sglang_flat(body: Body) -> Answer | None:
    """Its errors are flat, and pydantic's are Python."""
    if "seed" in body:
        message = "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': 'Extra inputs are not permitted'}]"
        return told(400, {"object": "error", "message": message, "type": "Bad Request", "param": None, "code": 400})
    return None


def litellm(status: int) -> Callable[[Body], Answer | None]:
    def refuse(body: Body) -> Answer | None:
        refused = [name for name in ("n", "seed", "response_format") if name in body]
        if not refused:
            return None
        message = (
            f"litellm.UnsupportedParamsError: ollama_chat does not support parameters: {refused}, for model=llava. To "
            "drop these, set `litellm.drop_params=True` or for proxy:\n\n`litellm_settings:\n drop_params: true`\n. "
        )
        return told(status, {"error": {"message": message, "type": "None", "param": "None", "code": str(status)}})

    return refuse


def openai_reasoning(body: Body) -> Answer | None:
    def unsupported(param: str, message: str, code: str) -> Answer:
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        return told(400, {"error": error})

    if "max_tokens" in body:
        message = "'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return unsupported("max_tokens", f"Unsupported parameter: {message}", "unsupported_parameter")
    if "top_p" in body:
        message = "Unsupported parameter: 'top_p' is not supported with this model."
        return unsupported("top_p", message, "unsupported_parameter")
    return None


def openai_old(body: Body) -> Answer | None:
    if "response_format" in body:
        message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
        return told(400, {"error": error})
    return None


def gemini(body: Body) -> Answer | None:
    message = ""
    if "seed" in body:
        message = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
    elif body.get("n", 1) > 1:
        message = "Multiple candidates is not enabled for this model"
    return told(400, [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]) if message else None


def anthropic(body: Body) -> Answer | None:
    message = ""
    if body.get("n", 1) > 1:
        message = "n: must be exactly 1"
    elif "temperature" in body and "top_p" in body:
        message = "`temperature` and `top_p` cannot both be specified for this model. Please use only one."
    return told(400, {"error": {"type": "invalid_request_error", "message": message}}) if message else None


def openrouter(body: Body) -> Answer | None:
    if "response_format" in body:
        raw = {"error": {"message": "Invalid schema for response_format 'said'", "param": "response_format"}}
        metadata = {"raw": json.dumps(raw, indent=2), "provider_name": "OpenAI"}
        return told(400, {"error": {"message": "Provider returned error", "code": 400, "metadata": metadata}})
    return None


def openrouter_strict(body: Body) -> Answer | None:
    if "n" in body:
        message = "No endpoints found that can handle the requested parameters."
        return told(404, {"error": {"message": message, "code": 404}})
    return None


def mistral(body: Body) -> Answer | None:
    if "seed" in body:
        fault = {
            "type": "extra_forbidden",
            "loc": ["body", "seed"],
            "msg": "Extra inputs are not permitted",
            "input": 7,
        }
        message = {"detail": [fault]}
        return told(422, {"object": "error", "message": message, "type": "invalid_request_error", "param": None})
    return None


def together(body: Body) -> Answer | None:
    if "seed" in body and body.get("n", 1) > 1:
        return told(422, {"error": {"message": "Input validation error: `seed` must not be set when `best_of` > 1"}})
    return None


def fastapi(body: Body) -> Answer | None:
    extra = [name for name in ("seed", "response_format") if name in body]
    detail = [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": body}
        for name in extra
    ]
    return told(422, {"detail": detail}) if extra else None


N, SEED, FORM = frozenset({"n"}), frozenset({"seed"}), frozenset({"response_format"})
SHAPES = {
    "vLLM, SGLang: all is taken": Shape(takes_all),
    "vLLM: greedy": Shape(vllm_greedy),
    "SGLang: a flat error": Shape(sglang_flat, left_out=SEED),
    "Ollama": Shape(ollama, ignores=N, left_out=N),
    "Ollama: a model without structured outputs": Shape(ollama, ignores=N | SEED | FORM, left_out=N),
    "llama.cpp": Shape(llama_cpp, left_out=N),
    "llama.cpp: more than its slots": Shape(llama_cpp_slots, left_out=N),
    "LM Studio": Shape(lm_studio, ignores=N, left_out=N | FORM),
    "LiteLLM": Shape(litellm(400), left_out=N | SEED | FORM),
    "LiteLLM: with 500": Shape(litellm(500), left_out=N | SEED | FORM),
    "OpenAI: a reasoning model": Shape(openai_reasoning, left_out=frozenset({"max_tokens", "top_p"})),
    "OpenAI: an old model": Shape(openai_old, left_out=FORM),
    "Gemini": Shape(gemini, left_out=N | SEED),
    "Anthropic": Shape(anthropic, ignores=SEED | FORM, left_out=N | {"top_p"}),
    "OpenRouter": Shape(openrouter, left_out=FORM),
    "OpenRouter: with require_parameters": Shape(openrouter_strict, left_out=N),
    "Mistral": Shape(mistral, left_out=SEED),
    "Together": Shape(together, left_out=SEED),
    "FastAPI": Shape(fastapi, left_out=SEED | FORM),
}
