// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "catch.h"

#include <uapi/dm-interpose.h>

#include <cstddef>
#include <cstring>

// What is on disks keeps its place for ever: these numbers change with INTERPOSE_STORE_FORMAT alone.
TEST_CASE("the header of a store has the layout of format 1", "[unit][kernel]")
{
    using Header = interpose_store_header;
    REQUIRE(INTERPOSE_STORE_FORMAT == 1);
    CHECK(offsetof(Header, magic) == 0);
    CHECK(offsetof(Header, format) == 8);
    CHECK(offsetof(Header, checksum) == 12);
    CHECK(offsetof(Header, uuid) == 16);
    CHECK(offsetof(Header, created) == 32);
    CHECK(offsetof(Header, sectors) == 40);
    CHECK(offsetof(Header, granule_sectors) == 48);
    CHECK(offsetof(Header, reserved) == 52);
    CHECK(sizeof(Header::magic) == 8);
    CHECK(sizeof(Header::format) == 4);
    CHECK(sizeof(Header::checksum) == 4);
    CHECK(sizeof(Header::uuid) == 16);
    CHECK(sizeof(Header::created) == 8);
    CHECK(sizeof(Header::sectors) == 8);
    CHECK(sizeof(Header::granule_sectors) == 4);
    CHECK(sizeof(Header) == 4096);
    CHECK(INTERPOSE_STORE_HEADER_BYTES == 4096);
    CHECK(INTERPOSE_STORE_DATA_SECTOR == 2048);
    CHECK(std::strlen(INTERPOSE_STORE_MAGIC) == sizeof(Header::magic));
    CHECK(std::memcmp(INTERPOSE_STORE_MAGIC, "dmsnapST", sizeof(Header::magic)) == 0);
}

TEST_CASE("the smallest store has room behind its header for the largest chunk", "[unit][kernel]")
{
    CHECK(INTERPOSE_STORE_HEADER_BYTES <= INTERPOSE_STORE_DATA_SECTOR * 512);
    CHECK(INTERPOSE_STORE_DATA_SECTOR + INTERPOSE_CHUNK_SECTORS_MAX <= INTERPOSE_STORE_SECTORS_MIN);
    CHECK(INTERPOSE_STORE_DATA_SECTOR % INTERPOSE_CHUNK_SECTORS_MAX == 0);
}
