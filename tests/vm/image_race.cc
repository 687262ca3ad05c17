// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A read of an image that a write overtakes, made to happen each time by a base whose reads take a second:
//
//   write  held, copy reads ---- copied -- on the base
//   image     no exception: reads the base ----------------- has the new data: must look again
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "origin.h"
#include "wait.h"

#include <algorithm>
#include <fmt/format.h>
#include <future>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

std::string delay_table(const std::string& disk, unsigned read_delay)
{
    return fmt::format("0 32768 delay {} 0 {} {} 0 0\n", disk, read_delay, disk);
}

} // namespace

TEST_CASE("an image read that a write overtakes shows the old data", "[image-race]")
{
    Random random;
    const DmDevice slow("test-slow", delay_table(origin_disk(), 0));
    const auto origin = whole_disk_origin(slow.path());
    const Disk live(origin->path());
    live.fill(random);
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    const Disk image(origin->image("s1"));
    Buffer before(4_KiB);
    Buffer after(4_KiB);
    Buffer seen(4_KiB);
    after.fill(random);
    for (std::uint64_t position = 0; position < (8_MiB).count; position += (1_MiB).count) {
        INFO("position " << position);
        live.read({position}, before.span());
        slow.replace_table(delay_table(origin_disk(), 1000));
        auto writer = std::async(std::launch::async, [&] { live.write({position}, after.span()); });
        wait_until("the write is held", 30, [&] { return origin->status().waiting_writes > 0; });
        image.read({position}, seen.span());
        writer.get();
        slow.replace_table(delay_table(origin_disk(), 0));
        CHECK(std::ranges::equal(seen.span(), before.span()));
        image.read({position}, seen.span());
        CHECK(std::ranges::equal(seen.span(), before.span()));
        live.read({position}, seen.span());
        CHECK(std::ranges::equal(seen.span(), after.span()));
    }
}
