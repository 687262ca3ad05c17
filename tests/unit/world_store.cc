// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "base/error.h"
#include "catch.h"
#include "world/crc32c.h"
#include "world/file.h"
#include "world/signature.h"
#include "world/store_header.h"
#include "world_tree.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <vector>

using namespace dmsnap;
using namespace dmsnap::literals;

namespace {

std::uint32_t crc_of(const std::vector<std::uint8_t>& bytes) { return crc32c(std::as_bytes(std::span(bytes))); }

/// Sets the checksum of a block right again.
void seal(StoreHeaderBlock& block)
{
    std::fill_n(block.begin() + 12, 4, std::byte{0});
    const std::uint32_t crc = crc32c(block);
    for (unsigned i = 0; i < 4; ++i)
        block[12 + i] = static_cast<std::byte>(crc >> (8 * i));
}

StoreHeader some_header()
{
    return {Uuid::from_text("00112233-4455-4677-8899-aabbccddeeff").value(), 0x0102030405060708, 65536_s, 32_s};
}

/// A file of 2 MiB to stand for a device: libblkid does not look for RAID or LVM on floppy disks.
struct DeviceFile {
    DeviceFile() { dmsnap::test::write_file(path, std::string(2 << 20, '\0')); }
    void write(Bytes position, std::string_view text) const
    {
        File::open(path, O_RDWR).write_at(position, std::as_bytes(std::span(text)));
    }
    dmsnap::test::TemporaryDirectory directory;
    std::filesystem::path path = directory.path() / "device";
};

} // namespace

TEST_CASE("the checksum is the one of RFC 3720, B.4", "[unit]")
{
    std::vector<std::uint8_t> rising(32);
    for (std::size_t i = 0; i < rising.size(); ++i)
        rising[i] = static_cast<std::uint8_t>(i);
    const std::vector<std::uint8_t> falling(rising.rbegin(), rising.rend());
    const std::vector<std::uint8_t> read_command = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0,
        0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0};
    CHECK(crc_of(std::vector<std::uint8_t>(32, 0x00)) == 0x8a9136aa);
    CHECK(crc_of(std::vector<std::uint8_t>(32, 0xff)) == 0x62a8ab43);
    CHECK(crc_of(rising) == 0x46dd794e);
    CHECK(crc_of(falling) == 0x113fdb5c);
    CHECK(crc_of(read_command) == 0xd9963a56);
    CHECK(crc_of({}) == 0);
}

TEST_CASE("a store header reads back as it was written", "[unit]")
{
    const StoreHeaderReading reading = parse_store_header(to_block(some_header()));
    REQUIRE(reading.header);
    CHECK(*reading.header == some_header());
    CHECK(reading.complaint.empty());
}

TEST_CASE("a store header is laid out as dm-interpose.h says, little endian", "[unit]")
{
    const StoreHeaderBlock block = to_block(some_header());
    const std::vector<unsigned> expected = {'d', 'm', 's', 'n', 'a', 'p', 'S', 'T', 1, 0, 0, 0, /* checksum */ 0, 0, 0,
        0, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 8, 7, 6, 5,
        4, 3, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 32, 0, 0, 0};
    for (std::size_t i = 0; i < expected.size(); ++i) {
        INFO("byte " << i);
        if (i < 12 || i >= 16)
            CHECK(std::to_integer<unsigned>(block[i]) == expected[i]);
    }
    CHECK(std::all_of(block.begin() + static_cast<std::ptrdiff_t>(expected.size()), block.end(),
        [](std::byte byte) { return byte == std::byte{0}; }));
    StoreHeaderBlock sealed = block;
    seal(sealed);
    CHECK(sealed == block);
}

TEST_CASE("one flipped bit anywhere makes a store header invalid", "[unit]")
{
    for (std::size_t i = 0; i < INTERPOSE_STORE_HEADER_BYTES; i += i < 64 ? 1 : 101) {
        StoreHeaderBlock block = to_block(some_header());
        block[i] ^= std::byte{0x10};
        INFO("byte " << i);
        const StoreHeaderReading reading = parse_store_header(block);
        CHECK_FALSE(reading.header);
        CHECK(reading.complaint.empty() == (i < 8)); // without the magic it is no store at all
    }
}

TEST_CASE("a store of another format is named as that, and never read", "[unit]")
{
    StoreHeaderBlock block = to_block(some_header());
    block[8] = std::byte{2};
    seal(block);
    const StoreHeaderReading reading = parse_store_header(block);
    CHECK_FALSE(reading.header);
    CHECK(reading.complaint == "dmsnap store of format 2");
}

TEST_CASE("a well sealed store header with impossible sizes is invalid", "[unit]")
{
    const auto complaint = [](Sectors length, Sectors granule) {
        StoreHeader header = some_header();
        header.length = length;
        header.granule = granule;
        return parse_store_header(to_block(header)).complaint;
    };
    const std::string impossible = "dmsnap store with impossible sizes in its header";
    CHECK(complaint({INTERPOSE_STORE_SECTORS_MIN}, {INTERPOSE_CHUNK_SECTORS_MIN}).empty());
    CHECK(complaint({INTERPOSE_STORE_SECTORS_MIN - 1}, 32_s) == impossible);
    CHECK(complaint(65536_s, 0_s) == impossible);
    CHECK(complaint(65536_s, {INTERPOSE_CHUNK_SECTORS_MIN / 2}) == impossible);
    CHECK(complaint(65536_s, 33_s) == impossible);
    CHECK(complaint(65536_s, {INTERPOSE_CHUNK_SECTORS_MAX * 2}) == impossible);
}

TEST_CASE("a device too short for a header, or without one, has none", "[unit]")
{
    const DeviceFile device;
    CHECK_FALSE(read_store_header(device.path).header);
    CHECK(read_store_header(device.path).complaint.empty());
    dmsnap::test::write_file(device.path, "dmsnapST");
    CHECK_FALSE(read_store_header(device.path).header);
    CHECK_THROWS_AS(read_store_header(device.directory.path() / "missing"), Error);
}

TEST_CASE("a formatted device holds the header and no other signature", "[unit]")
{
    const DeviceFile device;
    CHECK_FALSE(find_signature(device.path));
    device.write({4086}, "SWAPSPACE2");
    device.write({1024}, std::string_view("\1\0\0\0\7\0\0\0", 8)); // swap's version and last page
    device.write({510}, "\x55\xaa");                               // a partition table without partitions
    REQUIRE(find_signature(device.path));
    CHECK(find_signature(device.path)->description.find("swap") != std::string::npos);
    CHECK_FALSE(find_signature(device.path)->physical_volume);

    format_store(device.path, {}, some_header());
    CHECK(read_store_header(device.path).header == some_header());
    CHECK_FALSE(find_signature(device.path));
}

TEST_CASE("a signature beyond the header's block is erased too", "[unit]")
{
    const DeviceFile device;
    device.write({0x8000}, "\1CD001\1"); // of a CD, 32 KiB in
    REQUIRE(find_signature(device.path));
    CHECK(find_signature(device.path)->description.find("iso9660") != std::string::npos);
    format_store(device.path, {}, some_header());
    CHECK_FALSE(find_signature(device.path));
}

TEST_CASE("a physical volume of LVM is recognised", "[unit]")
{
    const DeviceFile device;
    std::string label("LABELONE\1\0\0\0\0\0\0\0\x5b\x12\x1f\x42 \0\0\0LVM2 001", 32); // with its own checksum
    label += "aaaaaabbbbccccddddeeeeffffgggggg";                                      // the volume's uuid
    device.write({512}, label);
    const auto signature = find_signature(device.path);
    REQUIRE(signature);
    CHECK(signature->physical_volume);
    CHECK(signature->description == "LVM2 physical volume");
}
