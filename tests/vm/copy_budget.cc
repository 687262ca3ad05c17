// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// With the least memory for copies the module may be given, on a store that takes its time: writes wait for each
// other, all of them come to an end, and nothing that has to be kept is lost.
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "load.h"
#include "origin.h"
#include "wait.h"

#include <algorithm>
#include <fmt/format.h>
#include <fstream>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

constexpr Bytes least = 1_MiB;

void set_copy_budget(Bytes budget)
{
    must({"modprobe", "dm-interpose"});
    std::ofstream file("/sys/module/dm_interpose/parameters/copy_budget");
    REQUIRE(file << (budget.count >> 20) << std::flush);
}

/// A device whose writes take some time.
std::string slow_table(const std::string& disk, Bytes size, int milliseconds)
{
    return fmt::format("0 {} delay {} 0 0 {} 0 {}", Sectors::exactly(size).count, disk, disk, milliseconds);
}

/// What was seen of an origin at work.
struct Peaks {
    std::uint64_t copy_bytes = 0;
    std::uint64_t stalled = 0; ///< writes that waited while the budget was used up

    void look(const InterposeStatus::Details& status)
    {
        copy_bytes = std::max(copy_bytes, status.copy_bytes.used);
        if (status.copy_bytes.used + status.chunk.bytes().count > least.count)
            stalled = std::max(stalled, status.waiting_writes);
    }
};

} // namespace

TEST_CASE("with the least memory for copies writes go on and the image is right", "[copy-budget]")
{
    const std::string chunk = GENERATE("16k", "1m"); // 1m: one copy is all there is memory for
    INFO("chunk " << chunk);
    set_copy_budget(least);
    Random random;
    const DmDevice store("test-store", slow_table(store_disk(), 1_GiB, 10));
    const Bytes file{rounds("copy_budget_file_mib") << 20};
    const auto origin = linear_origin(origin_disk(), Bytes{file.count * 12}, 4);
    Filesystem filesystem(origin->path(), "ext4");
    tool({"attach", "--chunksize", chunk, origin->device()});
    REQUIRE(origin->status().copy_bytes.bound == least.count);
    Load load(filesystem.directory(), file, random);
    load.start();
    wait_until("the first pass of fio", 300, [&] { return load.passes() > 0 || !load.running(); });
    {
        const Frozen frozen(filesystem);
        copy(origin->path(), the_copy(), origin->size());
        tool({"create", "-n", "s1", "--store", store.path(), origin->device()});
    }
    const Bytes chunk_bytes = origin->status().chunk.bytes();
    const std::uint64_t copies = 2 * file.count / chunk_bytes.count; // half of the four files
    Peaks peaks;
    wait_until("enough copies", 600, [&] {
        peaks.look(origin->status());
        return (origin->status().copied_chunks >= copies && peaks.stalled > 0) || !load.running();
    });
    CHECK(load.running());
    CHECK(differences(origin->image("s1"), the_copy(), origin->size(), chunk_bytes, Cached::no) == "");
    load.stop();
    CHECK(peaks.copy_bytes <= least.count);
    CHECK(peaks.stalled > 0);
    CHECK(origin->status().copied_chunks >= copies);
    must({"sync", "--file-system", filesystem.directory()});
    wait_until("nothing to wait for", 60, [&] {
        const auto status = origin->status();
        return status.copy_bytes.used == 0 && status.waiting_writes == 0;
    });
    CHECK(differences(origin->image("s1"), the_copy(), origin->size(), chunk_bytes, Cached::no) == "");
    tool({"remove", "s1"});
    tool({"detach", origin->device()});
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}
