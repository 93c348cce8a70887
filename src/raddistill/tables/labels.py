import dataframely as dy

from raddistill.statuses import STATUSES


class Labels(dy.Schema):
    """The labels of a teacher.

    Multiple choice: one row per labelled report and label of the set. Open-ended: one row per report and distinct phrase (in
    lower case, with single spaces); a report without any has no row here, but is `labelled` in `Outcomes`. `probability` is that
    the finding is present, if the teacher gives one. The rules give one to `uncertain` labels, by the strongest hedge.
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    teacher = dy.String(primary_key=True)
    label = dy.String(primary_key=True)
    status = dy.Enum(STATUSES)
    probability = dy.Float64(nullable=True, min=0.0, max=1.0)
    code = dy.String(nullable=True)  # ICD-10-CM, open-ended only
