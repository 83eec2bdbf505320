import json
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pytest
from pyarrow import parquet

from relora_core.data.files import read_file
from relora_core.data.rows import BadRow, Row
from relora_core.errors import DataError


def read(file: Path, text_field: str = "text") -> list[Row]:
    return list(read_file(file, text_field=text_field))


@pytest.fixture
def parquet_file(tmp_path: Path) -> Path:
    file = tmp_path / "rows.parquet"
    parquet.write_table(pa.table({"text": ["one", None, "three"], "n": [1, 2, 3]}), file)
    return file


def test_each_row_of_a_parquet_file_is_a_document(parquet_file: Path) -> None:
    assert read(parquet_file) == [
        "one",
        BadRow(f"{parquet_file}:2", "field 'text' is NoneType, not text"),
        "three",
    ]


def test_rows_of_a_parquet_file_without_the_column_are_bad(parquet_file: Path) -> None:
    reason = "has no field 'body'; it has: text, n"
    assert read(parquet_file, "body") == [
        BadRow(f"{parquet_file}:{number}", reason) for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("name", ["train[1].parquet", "a::b.parquet"])
def test_a_parquet_file_of_any_name_is_read(tmp_path: Path, name: str) -> None:
    parquet.write_table(pa.table({"text": ["one"]}), tmp_path / name)
    assert read(tmp_path / name) == ["one"]


def test_columns_beside_the_text_do_not_matter(tmp_path: Path) -> None:
    features = {"text": {"dtype": "string", "_type": "Value"}, "m": {"_type": "Nifti2"}}
    columns = {
        "text": pa.array(["one"]),
        "headers": pa.array([[("a", "b")]], pa.map_(pa.string(), pa.string())),
        "id": pa.array([uuid4().bytes], pa.uuid()),
    }
    table = pa.table([*columns.values(), *columns.values()][:5], [*columns, "text_", "id"])
    info = json.dumps({"info": {"features": features}})
    file = tmp_path / "odd.parquet"
    parquet.write_table(table.replace_schema_metadata({"huggingface": info}), file)
    assert read(file) == ["one"]


def test_a_cut_parquet_file_is_an_error_that_names_it(parquet_file: Path) -> None:
    parquet_file.write_bytes(parquet_file.read_bytes()[:100])
    with pytest.raises(DataError, match=f"{parquet_file} is cut short or damaged"):
        read(parquet_file)


def test_a_broken_row_group_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    texts = [f"{number:032x}" for number in range(5000)]
    parquet.write_table(pa.table({"text": texts}), file, row_group_size=1000, use_dictionary=False)
    begin = parquet.ParquetFile(file).metadata.row_group(2).column(0).data_page_offset
    content = bytearray(file.read_bytes())
    content[begin : begin + 200] = b"\xff" * 200
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"{file} is cut short or damaged"):
        read(file)


def test_text_that_is_not_unicode_is_a_bad_row_of_an_arrow_file(tmp_path: Path) -> None:
    file = tmp_path / "rows.arrow"
    column = pa.array([b"one", b"\xff"]).cast(pa.binary()).view(pa.string())
    table = pa.table({"text": column})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    assert read(file) == ["one", BadRow(f"{file}:2", "field 'text' is not UTF-8 text")]


@pytest.mark.parametrize(("name", "sign"), [("rows.csv", ","), ("rows.tsv", "\t")])
def test_each_row_of_a_csv_file_is_a_document(tmp_path: Path, name: str, sign: str) -> None:
    file = tmp_path / name
    long = "x" * 200_000
    rows = ["n|text", '1|"say ""yes""\nor no"', "2|two", "", f"3|{long}"]
    file.write_text("\r\n".join(rows).replace("|", sign))
    assert read(file) == ['say "yes"\nor no', "two", long]


def test_a_csv_row_of_another_length_or_encoding_is_bad(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b"n,text\n1,a,b\n2,\xff\n")
    assert read(file) == [
        BadRow(f"{file}:2", "has 3 values; the header has 2"),
        BadRow(f"{file}:3", "field 'text' is not valid Unicode"),
    ]


def test_the_columns_of_a_csv_file_are_named_where_the_field_is_none(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("title,body\na,b\n")
    assert read(file) == [BadRow(f"{file}:2", "has no field 'text'; it has: title, body")]
    assert read(file, "body") == ["b"]


def test_an_open_quote_of_a_csv_file_is_an_error_not_one_long_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text('text\none\n"two\nthree\n')
    with pytest.raises(DataError, match=f"{file}:5 is not CSV: unexpected end of data"):
        read(file)
