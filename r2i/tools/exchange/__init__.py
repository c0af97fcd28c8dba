"""Train rows from elsewhere, and ours for other trainers."""

from typing import Literal

Form = Literal["reference", "easyr1", "swift", "vision-opd"]
