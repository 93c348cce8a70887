import dataframely as dy

from raddistill.tasks.names import FORMS, SPLITS


class Examples(dy.Schema):
    """The prompts and answers of the student, rendered once for training and prediction.

    A report is read whole (one part) or sentence by sentence (one part each). `asked` parts are predicted. `selected` parts are
    trained on (train) or used for early stopping (validation). A sentence that the teacher wrote itself is a part with an id of
    its own, never asked. `completion` is null if the teacher gave no label: such a part is asked, never trained on.

    | answers | completion | other columns |
    |---|---|---|
    | head | empty | `targets`: probability of each label, in the label set's order (null element: not trained on) |
    | slots | the label names, one per line, without answers | `targets`, as for head |
    | list, lines | the teacher's answer as text | |
    | tags | as lines | `spans`: where the findings are in `prompt` |
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    part = dy.Int64(primary_key=True, min=0)
    split = dy.Enum(SPLITS)
    answers = dy.Enum(FORMS)
    prompt = dy.String(min_length=1)
    completion = dy.String(nullable=True)
    targets = dy.List(dy.Float64(nullable=True, min=0.0, max=1.0), nullable=True)
    # start and end in code points of `prompt`; worth: probability that it is a finding (null: not trained on)
    spans = dy.List(
        dy.Struct({"start": dy.Int64(), "end": dy.Int64(), "worth": dy.Float64(nullable=True, min=0.0, max=1.0)}),
        nullable=True,
    )
    asked = dy.Bool()
    selected = dy.Bool()
    order = dy.Int64(min=0)  # rank of the report by a seeded hash: the first n of a split are a random sample that grows with n
    template_hash = dy.String()
