"""Pictures as clients send them, good and bad. Needs Pillow 12.

    python make.py        # writes the files beside itself

Those in `good` show the same: 16 x 8 pixels, the left half red, the right half blue (grey ones: light and dark). Those in `bad` are to be refused.
`bad/corrupt_sampling.jpg` is not made here: fuzzing found it, and it makes a decoder panic."""

import io
import os
import struct
import zipfile
import zlib

from PIL import Image, ImageCms

HERE = os.path.dirname(os.path.abspath(__file__))
os.makedirs(f"{HERE}/good", exist_ok=True)
os.makedirs(f"{HERE}/bad", exist_ok=True)


def write(name, data):
    with open(f"{HERE}/{name}", "wb") as f:
        f.write(data)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, depth, color, rows, *more, interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


rgb = Image.new("RGB", (16, 8), (255, 0, 0))
rgb.paste((0, 0, 255), (8, 0, 16, 8))
gray = Image.new("L", (16, 8), 200)
gray.paste(40, (8, 0, 16, 8))
alpha = rgb.convert("RGBA")
alpha.putalpha(Image.new("L", (16, 8), 128))

write("good/rgb.png", saved(rgb, "PNG"))
write("good/gray.png", saved(gray, "PNG"))
write("good/palette.png", saved(rgb.convert("P", palette=Image.ADAPTIVE), "PNG"))
write("good/one_bit.png", saved(gray.convert("1", dither=Image.Dither.NONE), "PNG"))
write("good/half_transparent.png", saved(alpha, "PNG"))
write("good/gray_transparent.png", saved(Image.merge("LA", (gray, Image.new("L", (16, 8), 0))), "PNG"))
row16 = b"\x00" + struct.pack(">HHH", 65535, 0, 128) * 8 + struct.pack(">HHH", 0, 127, 65535) * 8
write("good/rgb_16_bits.png", png(16, 8, 16, 2, row16 * 8))
write("good/gray_16_bits.png", png(16, 8, 16, 0, (b"\x00" + struct.pack(">H", 51400) * 8 + struct.pack(">H", 10280) * 8) * 8))
# Adam7: seven smaller pictures one after the other.
passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
interlaced = b"".join(
    b"\x00" + b"".join(bytes(rgb.getpixel((x, y))) for x in range(x0, 16, dx)) for x0, y0, dx, dy in passes for y in range(y0, 8, dy))
write("good/interlaced.png", png(16, 8, 8, 2, interlaced, interlace=1))
profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
write("good/with_profile.png", saved(rgb, "PNG", icc_profile=profile))
# A profile of 32 MB, which is 32 kB in the file.
rows = (b"\x00" + bytes([255, 0, 0]) * 8 + bytes([0, 0, 255]) * 8) * 8
write("good/large_profile.png", png(16, 8, 8, 2, rows, chunk(b"iCCP", b"x\x00\x00" + zlib.compress(bytes(32 << 20), 9))))
write("good/animated.png", saved(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)], duration=100, default_image=False))
write("good/animated.webp", saved(rgb, "WEBP", save_all=True, append_images=[rgb.rotate(180)], duration=100, lossless=True))
write("good/lossless.webp", saved(rgb, "WEBP", lossless=True))
write("good/lossy.webp", saved(rgb, "WEBP", quality=95))
write("good/half_transparent.webp", saved(alpha, "WEBP", lossless=True))
jpeg = dict(quality=95, subsampling=0)
write("good/rgb.jpg", saved(rgb, "JPEG", **jpeg))
write("good/gray.jpg", saved(gray, "JPEG", **jpeg))
write("good/progressive.jpg", saved(rgb, "JPEG", progressive=True, **jpeg))
write("good/cmyk.jpg", saved(rgb.convert("CMYK"), "JPEG", **jpeg))
# How each orientation has to be stored so that it shows the same.
stored = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE, 6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}
for orientation, operation in stored.items():
    turned = rgb.transpose(operation) if operation is not None else rgb
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 0.0)}  # a place, which is nobody's business
    write(f"good/orientation_{orientation}.jpg", saved(turned, "JPEG", exif=exif, **jpeg))
archive = io.BytesIO()
with zipfile.ZipFile(archive, "w") as z:
    z.writestr("evil.html", "<script>alert(1)</script>")
write("good/png_and_zip.png", saved(rgb, "PNG") + archive.getvalue())
write("good/jpeg_and_html.jpg", saved(rgb, "JPEG", comment=b"<script>alert(1)</script>", **jpeg) + b"<html><script>alert(1)</script></html>")

whole = saved(rgb, "PNG")
for name, kind in [("gif", "GIF"), ("tiff", "TIFF"), ("bmp", "BMP"), ("ico", "ICO")]:
    write(f"bad/unsupported.{name}", saved(rgb, kind))
write("bad/unsupported.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>')
write("bad/unsupported.pdf", b"%PDF-1.7\n")
write("bad/unsupported.psd", b"8BPS\x00\x01" + bytes(20))
write("bad/unsupported.heic", b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
write("bad/unsupported.avif", b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00avifmif1miaf")
write("bad/corrupt_cut.png", whole[: len(whole) * 2 // 3])
write("bad/corrupt_cut.webp", saved(rgb, "WEBP", lossless=True)[:-20])
cut = saved(Image.effect_noise((64, 64), 80), "JPEG", quality=95)
write("bad/corrupt_head_only.jpg", cut[:100])
write("bad/corrupt_checksum.png", whole[:45] + bytes([whole[45] ^ 1]) + whole[46:])
write("bad/corrupt_no_data.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 8, 8, 2, 0, 0, 0)) + chunk(b"IEND", b""))
write("bad/corrupt_too_few_rows.png", png(16, 8, 8, 2, (b"\x00" + bytes(48)) * 3))
write("bad/corrupt_zero_width.png", png(0, 8, 8, 2, b""))
write("bad/corrupt_depth.png", png(16, 8, 3, 2, b"\x00" * 400))
write("bad/large_header_only.png", png(60000, 60000, 8, 2, b"\x00" * 100))
write("bad/large_wide.png", png(10000, 1, 1, 0, b"\x00" * 1251))
write("bad/large_bomb.png", png(8192, 8192, 1, 0, bytes(1025 * 8192)))
sof = cut.index(b"\xff\xc0")
write("bad/large_header_only.jpg", cut[: sof + 5] + struct.pack(">HH", 65535, 65535) + cut[sof + 9 :])
