"""Training a classifier: steps and epochs, run folders that survive a kill, views and pictures."""

from .choices import OPTIMIZERS, SCHEDULES
from .evaluation import Scores, evaluate, score
from .interrupts import Stopped
from .recipe import Recipe
from .run import Run, read_config
from .trainer import HISTORY, Trainer
from .workflow import Outcome, load_model, predict, resume, test, train
