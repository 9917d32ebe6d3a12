"""The container of a sound file: which one it is, whether all of it is there, and what a decoder stumbles over.

A file that breaks off in the middle decodes without an error in most formats. Each container says in another way how
long it should be. What is read here are headers, a few bytes each, so that a file may be as long as it likes.

Chapter: notebooks/01_sound_to_spectrogram.ipynb
"""

import io
import re
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

UNKNOWN_SIZE = 0x7FFF_0000  # a program that writes a wav to a pipe puts this or more where the size belongs
SEARCHED = 1 << 16  # bytes in which the first frame of an mp3 is looked for
IN_A_ROW = 4  # frames that follow each other are no accident
MOST_CHUNKS = 10_000  # before the sound; a file of zeros would have millions
NO_SIZE = 0xFFFF_FFFF  # in the header of an au that was written to a pipe

# Bit rates of layer III in kbit/s, of MPEG-1 and of MPEG-2 and 2.5, by the index in a frame's header.
MP3_RATES_1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
MP3_RATES_2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

# Suffixes of sound and video files that libsndfile does not read and ffmpeg does.
FOREIGN_SUFFIXES = frozenset([
    ".m4a", ".m4b", ".aac", ".mp4", ".mov", ".3gp", ".3g2", ".amr", ".awb", ".wma", ".wmv", ".asf", ".webm", ".mkv",
    ".mka", ".avi", ".flv", ".spx", ".mp2", ".ac3", ".ape", ".wv", ".tta", ".dsf", ".mpg", ".mpeg", ".ts", ".ra",
])  # fmt: skip
# What such files begin with: position, bytes, name.
FOREIGN = (
    (4, b"ftypM4A", "MPEG-4 audio (.m4a)"),
    (4, b"ftypM4B", "MPEG-4 audio (.m4b)"),
    (4, b"ftyp3g", "a 3GPP recording (.3gp)"),
    (4, b"ftypqt", "a QuickTime film (.mov)"),
    (4, b"ftyp", "MPEG-4 (.mp4, .m4a)"),
    (0, b"\xff\xf1", "AAC (.aac)"),
    (0, b"\xff\xf9", "AAC (.aac)"),
    (0, b"ADIF", "AAC (.aac)"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media (.wma, .wmv)"),
    (0, b"\x1a\x45\xdf\xa3", "WebM or Matroska (.webm, .mkv)"),
    (0, b"#!AMR", "a telephone recording (.amr)"),
    (28, b"Speex   ", "Speex in Ogg (.spx)"),
    (28, b"\x80theora", "a film in Ogg (.ogv)"),
    (8, b"AVI ", "a film (.avi)"),
    (0, b"FLV\x01", "Flash video (.flv)"),
    (0, b"\0\0\x01\xba", "an MPEG film (.mpg)"),
    (0, b"wvpk", "WavPack (.wv)"),
    (0, b"MAC ", "Monkey's Audio (.ape)"),
    (0, b"TTA1", "True Audio (.tta)"),
    (0, b"DSD ", "DSD (.dsf)"),
    (0, b".RMF", "RealAudio (.ra)"),
    (0, b"\x0b\x77", "Dolby Digital (.ac3)"),
)
# What is no sound at all: position, bytes, and a sentence.
NO_SOUND = (
    (0, b"<!doctype html", "is a web page, not a sound. Look at it in a browser: it may say why the download failed"),
    (0, b"<html", "is a web page, not a sound. Look at it in a browser: it may say why the download failed"),
    (0, b"version https://git-lfs", "is only a reference of Git LFS, not the sound. Get the sound with: git lfs pull"),
    (0, b"pk\x03\x04", "is a zip archive, not a sound. Unpack it and name the files in it"),
    (0, b"mthd", "is MIDI, that is notes, not sound. Render it to a wav first"),
)


class Incomplete(ValueError):
    """A file that breaks off. The message says what is missing, and continues a sentence."""


class Spliced(io.RawIOBase):
    """Some bytes followed by the rest of a file, as one file to read from.

    Args:
        head: what comes first.
        file: the file, open for reading. It stays open when this one is closed.
        begin: where the rest begins in it.
        samples: how many samples of each channel are sound, if the file says so; a codec that works in blocks fills
            up the last one.
    """

    def __init__(self, head: bytes, file: BinaryIO, begin: int, samples: int | None = None) -> None:
        self.head, self.file, self.begin, self.samples, self.position = head, file, begin, samples, 0

    def readable(self) -> bool:
        """Say that it can be read from.

        Returns:
            True.
        """
        return True

    def seekable(self) -> bool:
        """Say that it can be moved in.

        Returns:
            True.
        """
        return True

    def tell(self) -> int:
        """Tell the position.

        Returns:
            It, in bytes from the beginning.
        """
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, as every file does.

        Args:
            offset: how many bytes.
            whence: from where: the beginning, here, or the end.

        Returns:
            The new position.
        """
        size = len(self.head) + file_size(self.file) - self.begin
        self.position = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: size}[whence])
        return self.position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # soundfile gives its own buffer
        """Read into a buffer. It is filled, except at the end of the file.

        Args:
            buffer: where the bytes go.

        Returns:
            How many there were.
        """
        view = memoryview(buffer)
        part = self.head[self.position : self.position + len(view)]
        view[: len(part)] = part
        rest = view[len(part) :]
        done = len(part)
        if len(rest):
            self.file.seek(self.begin + max(0, self.position - len(self.head)))
            found = self.file.read(len(rest))
            rest[: len(found)] = found
            done += len(found)
        self.position += done
        return done


def at(file: BinaryIO, position: int, count: int) -> bytes:
    """Read bytes from a position of a file.

    Args:
        file: open for reading.
        position: where, in bytes.
        count: how many.

    Returns:
        The bytes; fewer if the file ends before.
    """
    file.seek(position)
    return file.read(count)


def file_size(file: BinaryIO) -> int:
    """Measure the size of an open file.

    Args:
        file: open for reading.

    Returns:
        Its size in bytes. The position in it is the end.
    """
    return file.seek(0, io.SEEK_END)


def foreign(file: BinaryIO) -> str:
    """Recognise sound and video that libsndfile does not read.

    Args:
        file: open for reading.

    Returns:
        What it is, such as "MPEG-4 audio (.m4a)"; "" for everything else.
    """
    start = at(file, 0, 64)
    return next((name for place, mark, name in FOREIGN if start.startswith(mark, place)), "")


def no_sound(file: BinaryIO) -> str:
    """Recognise files that people take for sound by mistake, such as a web page that was saved instead of it.

    Args:
        file: open for reading.

    Returns:
        What it is and what to do, as the end of a sentence; "" for everything else.
    """
    start = at(file, 0, 64).lower()
    return next((text for place, mark, text in NO_SOUND if start.startswith(mark, place)), "")


def whole(file: BinaryIO) -> Spliced:
    """Check that a file is complete, as far as its container says how long it is.

    Args:
        file: open for reading.

    Returns:
        What a decoder should read: the file itself; or, where libsndfile would be misled, the file with a header that
        says the length, or without what stands before its first frame.

    Raises:
        Incomplete: it breaks off.
    """
    start = at(file, 0, 4)
    if start in (b"RIFF", b"RIFX", b"RF64"):
        return _whole_wav(file)
    if start == b"OggS":
        _check_ogg(file)
        return Spliced(b"", file, 0)
    if start[:3] == b"ID3" or mp3_frame(start):
        return _whole_mp3(file, _after_id3(file))
    if start == b"FORM" and at(file, 8, 3) != b"AIF":
        return Spliced(b"", file, 0)  # an SVX, for example
    if start not in CHECKS:
        return _whole_mp3(file, 0)
    CHECKS[start](file)
    return Spliced(b"", file, 0)


def _whole_wav(file: BinaryIO) -> Spliced:
    """Walk the chunks up to `data`, and compare its size with the number of bytes that follow.

    Programs that cannot seek back leave 0 or a huge number there, and the sound extends to the end of the file.
    libsndfile reads a size of 0 as no sound, so that the true size is filled in.
    """
    head, end = at(file, 0, 12), file_size(file)
    order = ">" if head[:4] == b"RIFX" else "<"
    riff_size = struct.unpack_from(order + "I", head, 4)[0] if len(head) >= 8 else 0
    position, size64, samples = 12, None, None
    for _ in range(MOST_CHUNKS):
        if len(chunk := at(file, position, 24)) < 8:
            break
        name, size = struct.unpack_from(order + "4sI", chunk)
        start = position + 8
        there = end - start
        if name == b"ds64" and len(chunk) >= 24:  # RF64 keeps sizes of more than 32 bits here
            size64 = struct.unpack_from(order + "Q", chunk, 16)[0]
        if name == b"fact" and len(chunk) >= 12:
            samples = struct.unpack_from(order + "I", chunk, 8)[0]
        if name == b"data":
            if head[:4] == b"RF64" and size64 is not None:
                size = size64
            if size == 0 and there and (riff_size + 8 <= start or riff_size >= UNKNOWN_SIZE):
                mended = at(file, 0, position) + struct.pack(order + "4sI", name, min(there, 0xFFFF_FFFF))
                return Spliced(mended, file, start)
            if size > there and (size < UNKNOWN_SIZE or size64 is not None):
                raise Incomplete(f"{there} of {size} bytes of sound are there")
            return Spliced(b"", file, 0, samples)
        position = start + size + size % 2
    return Spliced(b"", file, 0)  # no data chunk: libsndfile refuses it


def _check_ogg(file: BinaryIO) -> None:
    """Walk the pages: each must be complete, and the last must carry the end-of-stream mark (RFC 3533 §6)."""
    position, ended, end = 0, False, file_size(file)
    while (page := at(file, position, 27 + 255))[:4] == b"OggS":
        if len(page) < 27 or len(page) < 27 + page[26]:
            raise Incomplete("the last page of the Ogg stream breaks off")
        ended = bool(page[5] & 4)  # flag "last page of the stream"
        segments = page[26]
        position += 27 + segments + sum(page[27 : 27 + segments])
    if position > end or not ended:
        raise Incomplete("the Ogg stream has no end")


def _check_chunks(file: BinaryIO, first: int, layout: str, counted: int, pad: int, sound: bytes) -> None:
    """Walk the chunks of an AIFF, CAF or W64 up to the one with the sound, which must be there to its end.

    Args:
        file: open for reading.
        first: where the first chunk begins.
        layout: of a chunk's header, its name and its size.
        counted: bytes of the header that the size counts too.
        pad: chunks begin at a multiple of so many bytes.
        sound: what the name of the chunk with the sound begins with.
    """
    position, end, header = first, file_size(file), struct.calcsize(layout)
    for _ in range(MOST_CHUNKS):
        if len(chunk := at(file, position, header)) < header:
            break
        name, size = struct.unpack(layout, chunk)
        size, start = size - counted, position + header
        if name.startswith(sound) and size > end - start:
            raise Incomplete(f"{end - start} of {size} bytes of sound are there")
        if name.startswith(sound) or size < 0:  # -1 in a CAF that was written to a pipe
            return
        position = start + size + -size % pad
    if position > end or end - position < header:
        raise Incomplete("it ends before the sound begins")


def _check_au(file: BinaryIO) -> None:
    """Compare the size of the sound in the header with the number of bytes that follow."""
    head = at(file, 0, 12)
    if len(head) < 12:
        raise Incomplete("it ends inside its header")
    begin, size = struct.unpack_from("<II" if head[:4] == b"dns." else ">II", head, 4)
    if size != NO_SIZE and size > file_size(file) - begin:
        raise Incomplete(f"{max(0, file_size(file) - begin)} of {size} bytes of sound are there")


def _check_voc(file: BinaryIO) -> None:
    """Walk the blocks: each has its kind in one byte and its size in three; kind 0, which has no size, is the end."""
    head, end = at(file, 20, 2), file_size(file)
    position = int.from_bytes(head, "little")
    for _ in range(MOST_CHUNKS):
        block = at(file, position, 4)
        if len(block) < 4 or not block[0]:
            return
        position += 4 + int.from_bytes(block[1:], "little")
        if position > end:
            raise Incomplete(f"its last block lacks {position - end} bytes")


def _check_nist(file: BinaryIO) -> None:
    """Compute how many bytes the header announces: samples, times bytes, times channels; compressed ones are fewer."""
    head = at(file, 0, 1024)
    values = {key: int(value) for key, value in re.findall(rb"(\w+) -\w+ (\d+)\n", head)}
    if b"shorten" not in head and len(head) == 1024:
        wanted = 1024 + values.get(b"sample_count", 0) * values.get(b"sample_n_bytes", 1) * values.get(
            b"channel_count", 1
        )
        if wanted > file_size(file):
            raise Incomplete(f"{file_size(file)} of {wanted} bytes are there")


# What a file begins with: how to see whether all of it is there. A flac is checked by its decoder.
CHECKS: dict[bytes, Callable[[BinaryIO], None]] = {
    b"fLaC": lambda file: None,
    b"FORM": lambda file: _check_chunks(file, 12, ">4sI", 0, 2, b"SSND"),
    b"caff": lambda file: _check_chunks(file, 8, ">4sq", 0, 1, b"data"),
    b"riff": lambda file: _check_chunks(file, 40, "<16sQ", 24, 8, b"data"),
    b".snd": _check_au,
    b"dns.": _check_au,
    b"Crea": _check_voc,
    b"NIST": _check_nist,
}


def _after_id3(file: BinaryIO) -> int:
    """Where the tags at the beginning of an mp3 end."""
    position = 0
    while (tag := at(file, position, 10))[:3] == b"ID3" and len(tag) == 10:
        a, b, c, d = tag[6:]
        position += 10 + (a << 21 | b << 14 | c << 7 | d) + 10 * (tag[5] >> 4 & 1)
    return position


def _whole_mp3(file: BinaryIO, first: int) -> Spliced:
    """Walk the frames: the last must be complete, and there must be as many as a Xing or Info header announces.

    Without such a header libsndfile estimates the length from the first frame and stops there, which loses sound if
    the bit rate varies. The missing header is then put in front. libsndfile also expects the first frame where the
    tags end; other programs look for it, and so does this one.
    """
    count, position = _walk_mp3(file, first)
    rest = at(file, position, SEARCHED)
    if count < IN_A_ROW and rest.strip(b"\0"):
        found = _first_mp3_frame(file, first)
        if found is None and not count:
            return Spliced(b"", file, 0)  # no mp3, or one of another layer
        if found is not None:
            first = found
            count, position = _walk_mp3(file, first)
            rest = at(file, position, SEARCHED)
    if position > file_size(file) or (rest[:1] == b"\xff" and len(rest) < 4):
        raise Incomplete("the last frame of the mp3 breaks off")
    if not count or (rest.strip(b"\0") and not rest.startswith((b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3"))):
        return Spliced(b"", file, first)  # another layer, free format, or gaps between frames: the walk cannot tell
    return _with_length(file, first, count)


def _with_length(file: BinaryIO, first: int, count: int) -> Spliced:
    """An mp3 from its first frame on, with a Xing header in front if it has none."""
    head = at(file, first, 4096)
    mpeg1, mono = head[1] & 8, head[3] >> 6 == 3
    side_info = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    tag = 4 + side_info
    if head[tag : tag + 4] in (b"Xing", b"Info"):
        if len(head) >= tag + 16:
            flags, frames, size = struct.unpack_from(">III", head, tag + 4)
            if (flags & 1 and frames > count) or (flags & 3 == 3 and first + size > file_size(file)):
                raise Incomplete(f"its header announces {frames} mp3 frames, {count - 1} are there")
        return Spliced(b"", file, first)
    if head[36:40] == b"VBRI":  # Fraunhofer's header, which the decoder reads
        return Spliced(b"", file, first)
    silent = bytearray(mp3_frame(head))
    silent[:4] = head[:4]
    if len(silent) < 16 + side_info:
        return Spliced(b"", file, first)
    struct.pack_into(">4sII", silent, 4 + side_info, b"Xing", 1, count)
    return Spliced(bytes(silent), file, first)


def _walk_mp3(file: BinaryIO, position: int) -> tuple[int, int]:
    """How many frames follow each other from a position, and where the last of them ends."""
    count = 0
    while size := mp3_frame(at(file, position, 4)):
        position, count = position + size, count + 1
    return count, position


def _first_mp3_frame(file: BinaryIO, after: int) -> int | None:
    """Where the first of several frames in a row begins; None if there is none."""
    for position in _marks(at(file, after, SEARCHED)):
        place = after + position
        for _ in range(IN_A_ROW):
            size = mp3_frame(at(file, place, 4))
            if not size:
                break
            place += size
        else:
            return after + position
    return None


def _marks(data: bytes) -> Iterator[int]:
    """Where bytes are that may begin a frame."""
    position = data.find(b"\xff")
    while position >= 0:
        yield position
        position = data.find(b"\xff", position + 1)


def mp3_frame(header: bytes) -> int:
    """Compute the size of a layer III frame.

    Args:
        header: bytes that begin with the 4 bytes of its header.

    Returns:
        Its size in bytes; 0 if this is no such header.
    """
    if len(header) < 4:
        return 0
    sync, version, coding = header[0], header[1], header[2]
    rate, frequency = coding >> 4, coding >> 2 & 3
    if sync != 0xFF or version & 0xE6 != 0xE2 or version & 0x18 == 8 or frequency == 3 or rate in (0, 15):
        return 0
    mpeg1 = version & 8
    hertz = (44_100, 48_000, 32_000)[frequency] >> {0x18: 0, 0x10: 1, 0: 2}[version & 0x18]
    bits = 1000 * (MP3_RATES_1 if mpeg1 else MP3_RATES_2)[rate]
    return (144 if mpeg1 else 72) * bits // hertz + (coding >> 1 & 1)
