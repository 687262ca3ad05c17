// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// Snapshots come and go below a program that fsyncs numbered records: each image holds a prefix of them, for ever.
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "kinds.h"
#include "origin.h"
#include "records.h"
#include "wait.h"

#include <chrono>
#include <fmt/format.h>
#include <functional>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

struct Seen {
    std::string snapshot;
    Ring ring;
};

/// Reads the ring that a snapshot's image holds.
using ReadImage = std::function<Ring(const std::string& snapshot)>;

Seen take(const Origin& origin, const RecordWriter& writer, const std::string& name, const ReadImage& read)
{
    const std::uint64_t durable = writer.durable();
    tool(origin.attaching({"create", "-n", name, "--store", store_disk()}));
    const std::uint64_t begun = writer.begun();
    const Ring ring = read(name);
    INFO(name << " was taken between records " << durable << " and " << begun);
    CHECK(ring.fault == "");
    CHECK(ring.records >= durable);
    CHECK(ring.records <= begun);
    return {name, ring};
}

void read_again(const Seen& seen, const ReadImage& read)
{
    INFO(seen.snapshot);
    CHECK(read(seen.snapshot) == seen.ring);
}

Seen take_out(std::vector<Seen>& seen, std::uint64_t index)
{
    const Seen result = seen[index];
    seen.erase(seen.begin() + static_cast<std::ptrdiff_t>(index));
    return result;
}

void write_for(const RecordWriter& writer, std::uint64_t seconds)
{
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (std::chrono::steady_clock::now() < end)
        writer.write_on(1);
}

/// Snapshots are taken, some removed in between, the others read again much later and removed in any order.
void images_hold_prefixes(const Origin& origin, RecordWriter& writer, const ReadImage& read)
{
    Random random;
    std::vector<Seen> seen;
    for (std::uint64_t i = 0; i < rounds("show2_snapshots"); ++i) {
        writer.write_on(random.between(1, 40));
        seen.push_back(take(origin, writer, fmt::format("s{}", i), read));
        if (i % 4 == 3) {
            write_for(writer, rounds("show2_seconds"));
            const Seen removed = take_out(seen, random.below(seen.size()));
            read_again(removed, read);
            tool({"remove", removed.snapshot});
        }
    }
    write_for(writer, rounds("show2_seconds"));
    drop_caches();
    for (const Seen& one : seen)
        read_again(one, read);
    while (!seen.empty()) {
        tool({"remove", take_out(seen, random.below(seen.size())).snapshot});
        if (!seen.empty())
            read_again(seen[random.below(seen.size())], read);
    }
    writer.stop();
    tool({"detach", origin.device()});
}

} // namespace

TEST_CASE("images of a filesystem hold a prefix of the records a program fsyncs", "[show2-files]")
{
    const auto origin = origin_under_test(256_MiB);
    Filesystem filesystem(origin->path(), "ext4");
    RecordWriter writer(filesystem.directory() + "/records");
    writer.write_on(1); // the file is known to be there
    must({"sync", "--file-system", filesystem.directory()});
    images_hold_prefixes(*origin, writer, [&](const std::string& snapshot) {
        const MountedImage image(origin->image(snapshot), filesystem.type());
        return read_ring(image.directory() + "/records");
    });
    CHECK(read_ring(filesystem.directory() + "/records").fault == "");
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}

TEST_CASE("images of a raw device hold a prefix of the records a program fsyncs", "[show2-raw]")
{
    const auto origin = origin_under_test(60_MiB);
    RecordWriter writer(origin->path());
    images_hold_prefixes(
        *origin, writer, [&](const std::string& snapshot) { return read_ring(origin->image(snapshot)); });
    CHECK(read_ring(origin->path()).fault == "");
}
