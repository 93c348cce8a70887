import dataframely as dy

from raddistill.statuses import STATUSES

ID_PREFIX = "written:"


class Written(dy.Schema):
    """Sentences that a teacher wrote with its own phrases and labelled itself: examples of rare labels without report text.

    One row per mention; `n` counts them from 0. A sentence in which the teacher finds nothing is one row without a label. `start`
    and `end` are code points of `text`. Label, status, probability and code are as in `Evidence` and `Labels`.
    """

    sentence_id = dy.String(primary_key=True)  # ID_PREFIX, then the hash of the text
    task = dy.String(primary_key=True)
    n = dy.Int64(primary_key=True, min=0)
    text = dy.String(min_length=1)
    label = dy.String(nullable=True)
    status = dy.Enum(STATUSES, nullable=True)
    probability = dy.Float64(nullable=True, min=0.0, max=1.0)
    code = dy.String(nullable=True)
    start = dy.Int64(nullable=True, min=0)
    end = dy.Int64(nullable=True, min=0)
    about = dy.String()  # the label or condition of the phrase it was written with; samples are drawn evenly over these
