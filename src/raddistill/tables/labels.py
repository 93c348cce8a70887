import dataframely as dy

from raddistill.statuses import STATUSES


class Labels(dy.Schema):
    """The labels of a teacher.

    Multiple choice: one row for every labelled report and label of the set. Open-ended: one row a distinct phrase, normalised
    (lower case, single spaces); a report with none has no row here but `labelled` in the outcomes. `probability`: that the
    finding is present, where the teacher gives one; the rules teacher grades what is uncertain by the strongest of its hedges.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    label = dy.String(primary_key=True)
    status = dy.Enum(STATUSES)
    probability = dy.Float64(nullable=True, min=0.0, max=1.0)
    code = dy.String(nullable=True)  # ICD-10-CM, open-ended only
