"""Effects in words: what may be said of a difference, given its interval."""

from lab.report.statistics import MARGIN, Effect, judge

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def count(n: int, noun: str) -> str:
    """`two observers`, `12 observers`."""
    return f"{_NUMBERS[n] if n < len(_NUMBERS) else f'{n:,}'} {noun}{'' if n == 1 else 's'}"


def sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def change(effect: Effect, what: str) -> str:
    """`cost 12 % of write throughput (9 to 15 %, n = 6)`, in the words that the interval allows."""
    if effect.low is None or effect.high is None:
        return f"showed {signed(effect)} of {what} (n = {effect.n}: no interval, a hint and not a finding)"
    verdict = judge(effect, higher_is_better=True)
    if verdict.word == "worse":
        return f"cost {percent(1 - effect.ratio)} of {what} ({_span(1 - effect.high, 1 - effect.low, effect.n)})"
    if verdict.word == "better":
        return f"raised {what} by {percent(effect.ratio - 1)} ({_span(effect.low - 1, effect.high - 1, effect.n)})"
    both = f"{signed(effect)}, {signed_range(effect)}, n = {effect.n}"
    if verdict.word == "equivalent":
        return f"left {what} within {percent(MARGIN)} ({both})"
    return f"did not change {what} for sure ({both}; about {verdict.more} more rounds would tell)"


def compared(effect: Effect) -> str:
    """`21 % more than`, with the interval: it follows a verb and precedes the other ensemble."""
    if effect.low is None or effect.high is None:
        way = "more" if effect.ratio > 1 else "less"
        return f"{percent(abs(effect.ratio - 1))} {way} (n = {effect.n}, a hint) than"
    verdict = judge(effect, higher_is_better=True)
    if verdict.word == "better":
        return f"{percent(effect.ratio - 1)} more ({_span(effect.low - 1, effect.high - 1, effect.n)}) than"
    if verdict.word == "worse":
        return f"{percent(1 - effect.ratio)} less ({_span(1 - effect.high, 1 - effect.low, effect.n)}) than"
    both = f"{signed_range(effect)}, n = {effect.n}"
    if verdict.word == "equivalent":
        return f"as much, within {percent(MARGIN)} ({both}), as"
    return f"not surely more or less ({both}; about {verdict.more} more rounds would tell) than"


def times(effect: Effect) -> str:
    if effect.low is None or effect.high is None:
        return f"{effect.ratio:.2f} times (n = {effect.n}, no interval)"
    return f"{effect.ratio:.2f} times ({effect.low:.2f} to {effect.high:.2f}, n = {effect.n})"


def cost_in_time(effect: Effect) -> str:
    """`+47 % (+27 to +71 %, n = 6: worse)`, for what is better when it is less."""
    if effect.low is None:
        return f"{signed(effect)} (n = {effect.n}, no interval)"
    verdict = judge(effect, higher_is_better=False)
    word = f"undecided, about {verdict.more} more would tell" if verdict.word == "undecided" else str(verdict)
    if verdict.word == "equivalent":
        word = f"equivalent within {percent(MARGIN)}"
    return f"{signed(effect)} ({signed_range(effect)}, n = {effect.n}: {word})"


def percent(share: float) -> str:
    """Two digits that count: `9.4 %`, `12 %`; never `−0`."""
    value = 100 * share
    digits = 0 if abs(value) >= 9.95 or abs(value - round(value)) < 0.05 else 1
    text = f"{value:.{digits}f} %"
    return text.replace("-", "−") if float(f"{value:.{digits}f}") else "0 %"


def signed(effect: Effect) -> str:
    return _sign(effect.ratio - 1)


def signed_range(effect: Effect) -> str:
    assert effect.low is not None
    assert effect.high is not None
    return f"{_sign(effect.low - 1).removesuffix(' %')} to {_sign(effect.high - 1)}"


def _sign(share: float) -> str:
    text = percent(share)
    return text if text.startswith("−") else f"+{text}"


def _span(low: float, high: float, n: int) -> str:
    return f"{percent(low).removesuffix(' %')} to {percent(high)}, n = {n}"
