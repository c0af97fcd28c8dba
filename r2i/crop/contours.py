"""Regions without a model: whatever stands out from its ground, by contours (OpenCV).

A saliency map measures how far each pixel's colour lies from the image's most common one; threshold,
erosion and connected outlines turn it into bodies. Made for small bodies on a quiet ground (the
mini world); photographs want a teacher or SAM 2.
"""

import cv2
import numpy as np
from PIL import Image

from r2i.core.boxes import Box
from r2i.crop.finders import Candidate

LIGHTNESS = 0.7  # weight of lightness beside the two colour axes: light and shadow change it most
REFERENCE_SIDE = 128  # kernel sizes below are for images of this side, and grow with it
RING = 3  # width of the ring around a body that it is compared with, pixels at REFERENCE_SIDE
LEAST_BODY = 20  # smallest outline, square pixels at REFERENCE_SIDE


def find_contours(image: Image.Image) -> list[Candidate]:
    """Tight boxes of what stands out, with a contrast score.

    The score is (a^2 - b^2) / (a^2 + b^2) with a, b the mean saliency inside a body's filled outline
    and in a ring around it that belongs to no body. 0: no contrast; 0.6: twice; 0.88: four times.
    """
    scale = max(1, round(min(image.size) / REFERENCE_SIDE))
    saliency = saliency_map(np.asarray(image.convert("RGB")))  # (H, W) float32
    bodies = _bodies(saliency, scale)
    taken: np.ndarray = np.zeros(saliency.shape, np.uint8)
    for body in bodies:
        cv2.drawContours(taken, [body], -1, 1, cv2.FILLED)
    taken = cv2.dilate(taken, _disc(scale))
    found = []
    for body in bodies:
        left, top, width, height = cv2.boundingRect(body)
        box = Box(left, top, left + width, top + height)
        found.append(Candidate(box, _contrast(saliency, body, taken, scale)))
    return found


def saliency_map(pixels: np.ndarray) -> np.ndarray:
    """Distance of each pixel's colour from the ground's; (H, W, 3) uint8 RGB -> (H, W) float32, Lab units."""
    lab = cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    away = lab - np.median(lab.reshape(-1, 3), axis=0).astype(np.float32)  # the ground is what there is most of
    away[..., 0] *= LIGHTNESS
    return np.sqrt((away**2).sum(axis=2))


def _bodies(saliency: np.ndarray, scale: int) -> list[np.ndarray]:
    """Convex outlines of the bodies, in full-image pixels; near neighbours are told apart by an erosion."""
    smooth = cv2.GaussianBlur(saliency, (0, 0), 0.8 * scale)
    levels = np.clip(smooth * 2, 0, 255).astype(np.uint8)
    _, mask = cv2.threshold(levels, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)  # plates inside bodies belong to them
    cores, _ = cv2.findContours(cv2.erode(filled, _disc(scale)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    bodies = []
    for core in cores:
        if cv2.contourArea(core) >= LEAST_BODY * scale**2:
            bodies.append(_grow_back(cv2.convexHull(core), saliency.shape, scale))
    return bodies


def _grow_back(outline: np.ndarray, shape: tuple[int, ...], scale: int) -> np.ndarray:
    """Undo the erosion for one body alone."""
    alone = np.zeros(shape, np.uint8)
    cv2.drawContours(alone, [outline], -1, 1, cv2.FILLED)
    grown, _ = cv2.findContours(cv2.dilate(alone, _disc(scale)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return grown[0]


def _contrast(saliency: np.ndarray, body: np.ndarray, taken: np.ndarray, scale: int) -> float:
    inside = np.zeros(saliency.shape, np.uint8)
    cv2.drawContours(inside, [body], -1, 1, cv2.FILLED)
    ring = cv2.dilate(inside, _disc((1 + RING) * scale)) & (1 - taken)
    within = float(saliency[inside > 0].mean()) ** 2
    around = float(saliency[ring > 0].mean()) ** 2 if ring.any() else 0.0
    return max(0.0, (within - around) / (within + around)) if within + around > 0 else 0.0


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
