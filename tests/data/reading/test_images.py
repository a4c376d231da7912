"""Image and mask files of every kind that a user may have: read rightly, or refused with a reason."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from fna.data.reading.images import read_image, read_mask
from fna.data.reading.pixels import palette_colours
from fna.errors import UserError

Draw = Callable[..., Path]
GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def grey_png(file: Path, rows: np.ndarray, bits: int) -> Path:
    """A greyscale PNG of 1, 2, 4 or 16 bits a pixel, packed by hand (PNG specification, 7.2 and 11.2.2)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = rows.shape
    packed = b""
    for row in rows:
        digits = "".join(format(int(value), f"0{bits}b") for value in row)
        digits += "0" * (-len(digits) % 8)
        packed += b"\0" + int(digits, 2).to_bytes(len(digits) // 8)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(packed)) + chunk(b"IEND", b"")
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return file


@pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")  # torchvision 0.29 and later
def test_photos_and_masks_are_read_as_torchvision_reads_them(shared: Path) -> None:
    folder = shared / "data" / "camvid"
    for name in sorted(path.stem for path in (folder / "images/val").iterdir())[:5]:
        image, mask = folder / f"images/val/{name}.jpg", folder / f"masks/val/{name}.png"
        ours, theirs = read_image(image), decode_image(str(image), ImageReadMode.RGB)
        assert (ours.dtype, ours.shape, ours.stride()) == (torch.uint8, (3, 360, 480), (1, 3 * 480, 3))
        # Two builds of libjpeg may round differently in colour conversion.
        assert (ours.int() - theirs.int()).abs().float().mean() < 1
        assert torch.equal(read_mask(mask), decode_image(str(mask), ImageReadMode.UNCHANGED)[0])


def test_colour_grey_and_bilevel_become_rgb(draw: Draw) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    assert torch.equal(read_image(draw("c.png", colour)), torch.from_numpy(colour).permute(2, 0, 1))
    assert torch.equal(read_image(draw("g.png", GREY)), torch.from_numpy(GREY).expand(3, -1, -1))
    assert torch.equal(read_image(draw("b.png", GREY > 100)), torch.from_numpy(GREY > 100).expand(3, -1, -1) * 255)


def test_a_palette_image_becomes_the_colours_also_with_transparency(tmp_path: Path) -> None:
    indices = GREY % 3
    indexed = Image.frombytes("P", (8, 6), indices.tobytes())
    indexed.putpalette([1, 2, 3, 40, 50, 60, 200, 0, 9])
    colours = torch.tensor([[1, 2, 3], [40, 50, 60], [200, 0, 9]], dtype=torch.uint8)
    expected = colours[torch.from_numpy(indices).long()].permute(2, 0, 1)
    indexed.save(tmp_path / "p.png")
    assert torch.equal(read_image(tmp_path / "p.png"), expected)
    indexed.save(tmp_path / "t.png", transparency=bytes([0, 128, 255]))
    assert torch.equal(read_image(tmp_path / "t.png"), expected)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_dropped_and_the_colours_stay(draw: Draw, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, channels), np.uint8)
    colour = torch.from_numpy(pixels[..., :-1]).permute(2, 0, 1).expand(3, -1, -1)
    assert torch.equal(read_image(draw("a.png", pixels)), colour)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    Image.new("CMYK", (8, 6), (0, 255, 255, 0)).save(tmp_path / "red.tif")
    assert read_image(tmp_path / "red.tif")[:, 0, 0].tolist() == [255, 0, 0]


def test_16_bit_grey_is_scaled_to_8_bits(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 25700], [32767, 32768, 65278, 65406, 65535]])
    file = grey_png(tmp_path / "deep.png", values, 16)
    expected = torch.from_numpy(np.round(values / 65535 * 255)).to(torch.uint8)
    assert torch.equal(read_image(file), expected.expand(3, -1, -1))


def test_12_bit_pixels_in_a_16_bit_file_are_refused_for_they_would_be_black(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dark.png: 16-bit pixels that reach only 4095 of 65535"):
        read_image(grey_png(tmp_path / "dark.png", np.array([[0, 4095]]), 16))
    assert read_image(grey_png(tmp_path / "black.png", np.zeros((2, 2), int), 16)).max() == 0


def test_floating_point_and_32_bit_pixels_are_refused(draw: Draw) -> None:
    with pytest.raises(UserError, match=r"f.tif: pixels of type 'F'"):
        read_image(draw("f.tif", GREY.astype(np.float32)))
    with pytest.raises(UserError, match=r"i.tif: 32-bit pixels from 0 to 23500000"):
        read_image(draw("i.tif", GREY.astype(np.int32) * 100_000))


def test_several_frames_are_refused(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 6)) for _ in range(3)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match=r"pages.tif: has 3 frames"):
        read_image(tmp_path / "pages.tif")


# EXIF orientation -> how the upright picture is made from the stored one (EXIF 2.3, table 6)
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied_to_images_and_masks(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name, values in (("grey", GREY), ("colour", np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))):
        Image.fromarray(values).save(tmp_path / f"{name}.png", exif=exif)
    upright = UPRIGHT[orientation]
    assert torch.equal(read_mask(tmp_path / "grey.png"), torch.from_numpy(upright(GREY).copy()))
    assert torch.equal(read_image(tmp_path / "grey.png")[0], torch.from_numpy(upright(GREY).copy()))
    colour = torch.from_numpy(upright(values).copy()).permute(2, 0, 1)
    assert torch.equal(read_image(tmp_path / "colour.png"), colour)


def test_truncated_empty_and_foreign_files_are_named(tmp_path: Path, draw: Draw) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for name in ("t.jpg", "t.png"):
        whole = draw(name, noise).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not an image", encoding="utf-8")
    for name in ("t.jpg", "t.png", "empty.png", "text.jpg"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read as an image"):
            read_image(tmp_path / name)
    mask = draw("m.png", noise[:, :, 0]).read_bytes()
    (tmp_path / "m.png").write_bytes(mask[: len(mask) // 2])
    with pytest.raises(UserError, match=r"m.png: cannot be read as an image"):
        read_mask(tmp_path / "m.png")
    with pytest.raises(UserError, match=r"gone.png: no such file"):
        read_image(tmp_path / "gone.png")


def test_a_palette_mask_gives_indices_whatever_the_colours(tmp_path: Path) -> None:
    classes = GREY // 5 % 5
    for count in (2, 4, 16, 256):  # files of 1, 2, 4 and 8 bits a pixel
        indices = classes % np.uint8(min(count, 255))
        mask = Image.frombytes("P", (8, 6), indices.tobytes())
        mask.putpalette(np.random.default_rng(count).integers(0, 256, 3 * count, np.uint8).tolist())
        mask.save(tmp_path / "p.png", bits=(count - 1).bit_length())
        assert torch.equal(read_mask(tmp_path / "p.png"), torch.from_numpy(indices))
    assert palette_colours(tmp_path / "p.png", 1) == (tuple((mask.getpalette() or [])[:3]),)
    assert palette_colours(tmp_path / "p.png", 257) is None


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_small_grey_masks_keep_their_numbers_which_pillow_would_spread_over_0_to_255(tmp_path: Path, bits: int) -> None:
    classes = np.arange(35).reshape(5, 7) % 2**bits
    assert torch.equal(
        read_mask(grey_png(tmp_path / "m.png", classes, bits)), torch.from_numpy(classes).to(torch.uint8)
    )


def test_16_bit_masks_are_read_when_the_values_fit(tmp_path: Path) -> None:
    small = grey_png(tmp_path / "small.png", np.array([[0, 3, 255]]), 16)
    assert read_mask(small).tolist() == [[0, 3, 255]]
    large = grey_png(tmp_path / "large.png", np.array([[0, 300, 65535]]), 16)
    assert read_mask(large, {0: 0, 300: 1, 65535: 255}).tolist() == [[0, 1, 255]]
    with pytest.raises(UserError, match=r"large.png: mask values go from 0 to 65535"):
        read_mask(large)


def test_a_mapping_is_applied_and_must_know_every_value(draw: Draw) -> None:
    file = draw("m.png", np.array([[7, 26, 0], [255, 7, 7]], np.uint8))
    assert read_mask(file, {0: 255, 7: 0, 26: 1, 255: 255, -1: 255}).tolist() == [[0, 1, 255], [255, 0, 0]]
    with pytest.raises(UserError, match=r"m.png: mask values 26, 255 are not in the label mapping"):
        read_mask(file, {0: 255, 7: 0})


def test_masks_in_colours_or_lossy_formats_are_refused_with_the_remedy(tmp_path: Path, draw: Draw) -> None:
    with pytest.raises(UserError, match=r"c.png: a mask of type 'RGB' holds colours, not class numbers. Save it as"):
        read_mask(draw("c.png", np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)))
    with pytest.raises(UserError, match=r"e.png: an RGB mask with three equal channels. Save one of them"):
        read_mask(draw("e.png", np.repeat(GREY[..., None], 3, axis=2)))
    with pytest.raises(UserError, match=r"a.png: a mask of type 'RGBA'"):
        read_mask(draw("a.png", np.zeros((6, 8, 4), np.uint8)))
    draw("j.jpg", GREY).rename(tmp_path / "j.png")
    with pytest.raises(UserError, match=r"j.png: a mask in JPEG format; it is lossy"):
        read_mask(tmp_path / "j.png")
