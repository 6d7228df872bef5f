"""Steps: a whole pipeline at several settings of its stages becomes a ladder, each step measured."""

from twofold.flows.steps.dials import Dial, descend
from twofold.flows.steps.making import Steps, make_steps, stage_ladders, write_steps
from twofold.flows.steps.questions import Questions, held_out

__all__ = ["Dial", "Questions", "Steps", "descend", "held_out", "make_steps", "stage_ladders", "write_steps"]
