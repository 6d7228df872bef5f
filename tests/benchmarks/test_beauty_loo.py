from pathlib import Path

import pytest
from benchmarks.beauty_loo import read_beauty

from twofold.core.errors import DataError


def test_the_file_is_read_in_its_order(tmp_path: Path) -> None:
    folder = tmp_path / "amazon-beauty"
    folder.mkdir()
    (folder / "Beauty.txt").write_text("1 5 7\n2 7 9 5\n", encoding="ascii")
    titles = 's3rec_item,asin,title\n5,B1,"Nail, red"\n7,B2,\n9,B3,Balm\n'
    (folder / "Beauty_items_derived.csv").write_text(titles, encoding="utf-8")
    dataset = read_beauty(tmp_path)
    rows = [dataset.item_ids.decode(dataset.log.row(row).items) for row in range(2)]
    assert rows == [[5, 7], [7, 9, 5]]
    assert dict(zip(dataset.items["item"], dataset.items["title"], strict=True)) == {5: "Nail, red", 7: None, 9: "Balm"}


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="amazon-beauty"):
        read_beauty(tmp_path)


def test_the_published_file_is_whole(data_folder: Path) -> None:
    dataset = read_beauty(data_folder)
    assert (len(dataset.users), len(dataset.items), len(dataset.log.items)) == (22_363, 12_101, 198_502)
