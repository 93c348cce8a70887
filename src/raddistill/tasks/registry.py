"""The tasks that a student learns, in the order of their rows in the tables. A third task is one file and one line here."""

from raddistill.tasks.multiple_choice import MultipleChoice
from raddistill.tasks.open_ended import OpenEnded
from raddistill.tasks.task import Task

TASKS: dict[str, Task] = {task.name: task for task in (MultipleChoice(), OpenEnded())}
