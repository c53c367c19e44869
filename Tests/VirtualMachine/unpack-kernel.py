#!/usr/bin/env python3
"""unpack-kernel.py BZIMAGE OUTPUT: the ELF file inside a compressed x86 kernel.

Documentation/arch/x86/boot.rst of the kernel describes the header. Offsets are from the beginning of the file.
"""
import struct
import subprocess
import sys

DECOMPRESSORS = {b"\xfd7zX": ["xz", "-dc", "--single-stream"], b"\x28\xb5\x2f\xfd": ["zstd", "-dc"]}

with open(sys.argv[1], "rb") as file:
    image = file.read()
if image[0x202:0x206] != b"HdrS":
    sys.exit(f"{sys.argv[1]} is not a bzImage")
setup_sectors = image[0x1F1] or 4
payload_offset, payload_length = struct.unpack_from("<II", image, 0x248)
start = (1 + setup_sectors) * 512 + payload_offset
payload = image[start : start + payload_length]
command = DECOMPRESSORS.get(payload[:4])
if command is None:
    sys.exit(f"{sys.argv[1]} is compressed in a way unknown here: it begins with {payload[:4].hex()}")

# The last four bytes are the unpacked length.
(length,) = struct.unpack("<I", payload[-4:])
kernel = subprocess.run(command, input=payload[:-4], stdout=subprocess.PIPE).stdout
if len(kernel) != length or kernel[:4] != b"\x7fELF":
    sys.exit(f"{sys.argv[1]} did not unpack to a kernel of {length} bytes")
with open(sys.argv[2], "wb") as file:
    file.write(kernel)
