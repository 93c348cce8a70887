import dataframely as dy

from raddistill.tables.reports import SPLITS


class Examples(dy.Schema):
    """Prompt and answer of every report and task, rendered once for training and prediction.

    `list` answers and open-ended: `completion` is the teacher's answer, `targets` null. `slots`: `completion` is the lines of
    label names without any answer, `targets` the probability of "yes" per label in the label set's order (null element: not
    trained on). Both are null where the teacher gave no label: such a report is predicted, never trained on.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    split = dy.Enum(SPLITS)
    answers = dy.Enum(["slots", "list", "lines"])
    prompt = dy.String(min_length=1)
    completion = dy.String(nullable=True)
    targets = dy.List(dy.Float64(nullable=True, min=0.0, max=1.0), nullable=True)
    selected = dy.Bool()  # trained on (train), looked at for early stopping (validation); test: always false
    order = dy.Int64(min=0)  # by seeded hash: the first n of a split are a random sample that grows with n
    template_hash = dy.String()
