// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "catch.h"

#include "table/file_table.h"

using namespace dmsnap;
using namespace dmsnap::literals;

namespace {

using Runs = std::vector<Run>;

} // namespace

TEST_CASE("of a file's extents whole chunks count, and neighbours are one", "[unit]")
{
    CHECK(whole_chunks({}, 32_s, 1024_s).empty());
    CHECK(whole_chunks({{64_s, 32_s}}, 32_s, 1024_s) == Runs{{64_s, 32_s}});
    CHECK(whole_chunks({{65_s, 62_s}}, 32_s, 1024_s).empty());
    CHECK(whole_chunks({{65_s, 31_s}}, 32_s, 1024_s).empty());
    CHECK(whole_chunks({{65_s, 63_s}}, 32_s, 1024_s) == Runs{{96_s, 32_s}});
    CHECK(whole_chunks({{40_s, 24_s}, {64_s, 40_s}, {8_s, 100_s}}, 32_s, 1024_s) == Runs{{64_s, 32_s}, {32_s, 64_s}});
    CHECK(whole_chunks({{48_s, 16_s}, {64_s, 16_s}}, 32_s, 1024_s).empty());
    CHECK(whole_chunks({{32_s, 16_s}, {48_s, 16_s}}, 32_s, 1024_s) == Runs{{32_s, 32_s}});
}

TEST_CASE("neither the first chunk of a device nor its last is used", "[unit]")
{
    CHECK(whole_chunks({{0_s, 1024_s}}, 32_s, 1024_s) == Runs{{32_s, 960_s}});
    CHECK(whole_chunks({{0_s, 1000_s}}, 32_s, 1000_s) == Runs{{32_s, 960_s}});
    CHECK(whole_chunks({{0_s, 32_s}}, 32_s, 1024_s).empty());
    CHECK(whole_chunks({{992_s, 32_s}}, 32_s, 1024_s).empty());
}

TEST_CASE("no more of a file is used than the store needs", "[unit]")
{
    const Runs runs = {{64_s, 32_s}, {128_s, 64_s}, {0_s, 32_s}};
    CHECK(length(runs) == 128_s);
    CHECK(first_of(runs, 32_s) == Runs{{64_s, 32_s}});
    CHECK(first_of(runs, 64_s) == Runs{{64_s, 32_s}, {128_s, 32_s}});
    CHECK(first_of(runs, 128_s) == runs);
}

TEST_CASE("a table of runs says where they are", "[unit]")
{
    const Runs runs = {{64_s, 32_s}, {0_s, 32_s}};
    const DeviceRef base = DeviceNumber{8, 16};
    const Table table = table_of(runs, base, 384_s);
    CHECK(to_text(table) == "0 32 linear 8:16 448\n32 32 linear 8:16 384\n");
    CHECK(runs_of(table, base, 384_s) == runs);
    CHECK(runs_of(table, base, 400_s).empty());
    CHECK(runs_of(table, DeviceNumber{8, 17}, 384_s).empty());
    CHECK(runs_of(parse_table("0 64 error\n"), base, 0_s).empty());
}
