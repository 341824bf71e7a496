"""Every decoder takes or refuses whatever it is given. A million strings for each: `python -m tests.fuzz`."""

import pytest

from tests.fuzz import decoders, fuzz


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", decoders(0))
def test_whatever_the_bytes_a_decoder_accepts_or_refuses(name: str) -> None:
    judge, strings = decoders(2)[name]

    result = fuzz(judge, strings, 2_500)

    assert result["first_crashes"] == []
    assert result["accepted"] + result["refused"] == 2_500
    assert min(result["accepted"], result["refused"]) > 0
