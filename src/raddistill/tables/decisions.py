import dataframely as dy


class Decisions(dy.Schema):
    """What each arm decided about each report that it was asked. Ids and names, no text. A label without a row is not present.

    | kind | label | count |
    |---|---|---|
    | asked, or unparsed (no readable answer, scored as empty) | empty | 1; one row per report, task and arm |
    | present | a label of the set, or a concept of gold/concepts.csv | 1 |
    | unmapped (open-ended only) | empty | number of phrases without a concept |

    Arms: student, linear, base, and one of the teacher for each meaning of its `uncertain` (teacher_present, teacher_absent,
    teacher_graded, teacher_budget, teacher_whole_present, ...).
    """

    report_id = dy.String(primary_key=True)
    task = dy.String(primary_key=True)
    arm = dy.String(primary_key=True)
    kind = dy.Enum(["asked", "unparsed", "present", "unmapped"], primary_key=True)
    label = dy.String(primary_key=True)
    count = dy.Int64(min=1)
    text_group = dy.String()  # as in `Reports`
