"""The demonstration's last words."""

from fna.demo.main import Row, final_table


def test_the_final_table_has_percent_and_billions_and_a_dash_for_an_unknown_time() -> None:
    rows = [
        Row("seed architecture", 0.4193, 65_808_432, 1_234_567, 24.6),
        Row("adapted network", 0.5, 65_000_000, 900_000, None),
    ]
    assert final_table(rows).splitlines() == [
        "| network | val mIoU | MAdds | params | fine-tuning, s |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| seed architecture | 41.9 | 0.0658 G | 1.23 M | 25 |",
        "| adapted network | 50.0 | 0.0650 G | 0.90 M | – |",
    ]
