"""Why an answer is not used; what one that passed its checks comes to is a list of `votes.Finding`."""

from typing import NamedTuple


class Fault(NamedTuple):
    """Why an answer is not used. `reason` is of a small fixed set of words (quarantine, metrics); neither holds report text.

    `feedback` is what the model reads when it is asked again: it may name label, code or the number of an item.
    """

    reason: str
    feedback: str
    advice: str = ""  # for the user, where the cause is likely the server or the settings and so shared by many answers
    final: bool = False  # asking again cannot mend it
