"""Names that all packages share: tasks, splits and answer forms. Imports nothing and holds no code.

So a stage that needs only the name of a task does not depend on the task's code: an edit of `tasks/open_ended.py` makes no label
stale.
"""

MULTIPLE_CHOICE = "multiple_choice"  # which labels of the label set does the report state?
OPEN_ENDED = "open_ended"  # which conditions does the report name, as phrases with their ICD-10-CM codes?
TASKS = [MULTIPLE_CHOICE, OPEN_ENDED]

SPLITS = ["train", "validation", "test"]

FORMS = ["head", "slots", "list", "tags", "lines"]  # answer forms; `student/prompts.py` describes them
PLAIN = ("head", "tags")  # forms whose input is the report's text alone, without an instruction
TEMPLATES = {  # form -> file in prompts/student
    "slots": "multiple_choice_slots.jinja",
    "list": "multiple_choice_list.jinja",
    "lines": "open_ended.jinja",
}
IN_WORDS = {"head": "list", "tags": "lines"}  # a model without the layer `score` is asked in this form instead
