import gzip
from pathlib import Path

import numpy as np
import orjson
import pytest

from stream_app.errors import SettingsError
from stream_app.evaluation.dialog_words import topic_vectors
from stream_app.evaluation.fusion import fusion
from stream_app.evaluation.row import Row, Run
from stream_app.evaluation.simmc import SILENT, SPOKEN, simmc

LIKES, DISLIKES = ("i love this one so much", "this is lovely and great"), ("no that is not for me", "i hate this one")


def dialog(rng: np.random.Generator, *, turns: int = 5) -> list[dict[str, object]]:
    """Whoever likes an item whose price was told puts it into the cart in the next turn; else nobody does."""
    told, liked, rows = False, False, []
    for turn in range(turns):
        action = "AddToCart" if told and liked else str(rng.choice(["SpecifyInfo", "SearchDatabase"]))
        told, liked = action == "SpecifyInfo", bool(rng.random() < 0.5)
        rows.append(
            {
                "turn": turn,
                "user": str(rng.choice(LIKES if liked else DISLIKES)),
                "visible": "",
                "focus_item": turn,
                "action": action,
                "action_args": {"attributes": ["price"]} if told else None,
                "belief": "",
                "system": "here you are",
            }
        )
    return rows


def write(folder: Path, *, spoken: int, silent: int) -> Path:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    lines = [orjson.dumps({"dialog_id": number, "turns": dialog(rng)}) for number in range(spoken)]
    (folder / SPOKEN).write_bytes(gzip.compress(b"\n".join(lines)))
    rows = [
        {
            "dialog_id": number,
            "actions": [
                {"turn_idx": t["turn"], "action": t["action"], "action_supervision": t["action_args"]} for t in turns
            ],
            "focus_images": [t["focus_item"] for t in turns],
        }
        for number in range(silent)
        for turns in [dialog(rng)]
    ]
    (folder / SILENT).write_bytes(orjson.dumps(rows))
    return folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Row]:
    data = tmp_path_factory.mktemp("data")
    write(data / "mine", spoken=90, silent=150)
    pictures = data / "pictures"
    pictures.mkdir()
    rows = {row.metric: row for row in fusion(Run(data, only="mine", quick=True, pictures=pictures))}
    assert sorted(path.name for path in pictures.iterdir()) == [
        "fusion-mine-confusion.png",
        "fusion-mine-reliability.png",
    ]
    return rows


def test_what_takes_words_and_acts_together_is_found_by_the_fusion(rows: dict[str, Row]) -> None:
    cart = rows["cart_auc"]
    assert cart.ours > 0.9
    assert cart.ours > cart.baselines["behavior"]
    assert cart.ours > cart.baselines["text"]
    assert cart.baselines["base_rate"] == pytest.approx(0.5, abs=0.05)


def test_a_difference_is_that_of_its_two_figures_and_has_its_own_interval(rows: dict[str, Row]) -> None:
    row = rows["cart_auc_over_text"]
    assert row.ours == pytest.approx(rows["cart_auc"].ours - row.baselines["text"])
    assert row.interval is not None
    assert row.interval[0] < row.ours < row.interval[1]


def test_without_words_it_knows_no_more_than_behaviour_does(rows: dict[str, Row]) -> None:
    hidden = rows["cart_auc_without_text"]
    assert hidden.ours < hidden.baselines["with_both"]
    assert hidden.ours == pytest.approx(hidden.baselines["behavior_alone"], abs=0.1)
    assert rows["cart_auc_text_missing_50"].ours > hidden.ours


def test_a_folder_in_another_layout_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    assert not list(fusion(Run(tmp_path, only="other")))


def test_labels_speak_of_the_turn_after_and_end_with_the_dialog(tmp_path: Path) -> None:
    data = simmc(write(tmp_path / "mine", spoken=3, silent=3))
    turns = data.spoken
    last = turns.turn == 4
    assert (turns.next_action[last] == -1).all()
    assert not turns.cart[last].any()
    cart = data.actions.index("AddToCart")
    assert (turns.cart == (turns.next_action == cart)).all()
    assert (data.kinds[turns.kind[1] - 1] == "price") == (turns.facts[1] == 1)


def test_a_speaker_who_says_one_thing_or_nothing_does_no_harm() -> None:
    for texts in (["yes"] * 9, [""] * 9, ["a b c d"] * 9):
        assert np.isfinite(topic_vectors(texts, np.arange(6), seed=0)).all()


def test_a_field_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", spoken=2, silent=2)
    (folder / SPOKEN).write_bytes(gzip.compress(orjson.dumps({"turns": [{"action": "AddToCart"}]})))
    with pytest.raises(SettingsError, match=r"fashion_dev.*action_args"):
        simmc(folder)


def test_the_real_dialogs_are_read(data_dir: Path) -> None:
    data = simmc(data_dir / "simmc")
    assert (data.spoken.turn == 0).sum() == 655
    assert (data.silent.turn == 0).sum() == 3929
    assert data.spoken.cart.sum() == 492  # all of them: no dialog begins with one
    assert set(data.actions) == {"None", "SpecifyInfo", "SearchDatabase", "SearchMemory", "AddToCart"}
