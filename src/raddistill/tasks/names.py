"""The words that every room shares: tasks, splits, arms and forms of answer. It imports nothing and holds no code.

So a stage that needs the name of a task does not depend on what a task does: an edit of `tasks/open_ended.py` makes no
label stale.
"""

MULTIPLE_CHOICE = "multiple_choice"  # which labels of the label set does the report state?
OPEN_ENDED = "open_ended"  # which conditions does the report name, as phrases with their ICD-10-CM codes?
TASKS = [MULTIPLE_CHOICE, OPEN_ENDED]

SPLITS = ["train", "validation", "test"]

# Arms of the results, in the order of their rows: who answers the same question about the same reports.
ARMS = ["student", "teacher", "teacher_whole", "linear", "base"]

FORMS = ["head", "slots", "list", "tags", "lines"]  # how a student answers; `student/prompts.py` says what each looks like
PLAIN = ("head", "tags")  # forms that read the report's words alone, without an instruction
TEMPLATES = {  # form to its file in prompts/student
    "slots": "multiple_choice_slots.jinja",
    "list": "multiple_choice_list.jinja",
    "lines": "open_ended.jinja",
}
IN_WORDS = {"head": "list", "tags": "lines"}  # the form in which a model is asked that has no layer to read a plain form from
