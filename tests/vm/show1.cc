// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// An image is what the device held at the point, block for block, whatever is written meanwhile.
//
//   fio ... freeze, copy, point, thaw ... fio ... compare ... fio ends ... compare ... drop caches ... compare
#include "catch.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "kinds.h"
#include "load.h"
#include "origin.h"
#include "wait.h"

#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <sstream>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

/// What other programs see of the origin, which a snapshot must not change.
struct View {
    std::map<std::string, std::string> links_by_uuid;
    std::string blkid;
    std::string findmnt;
    std::string cookies;
    bool operator==(const View&) const = default;
};

std::map<std::string, std::string> links_by_uuid()
{
    std::map<std::string, std::string> links;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/disk/by-uuid"))
        links[entry.path().filename()] = std::filesystem::read_symlink(entry.path());
    return links;
}

/// blkid's lines, without its cache, but for dmsnap's own devices: whose uuid is found where.
std::string blkid_lines()
{
    std::istringstream lines(must({"blkid", "--cache-file", "/dev/null"}));
    std::string kept;
    for (std::string line; std::getline(lines, line);)
        if (!line.starts_with("/dev/mapper/dmsnap-"))
            kept += line + '\n';
    return kept;
}

View look(const Origin& origin)
{
    must({"udevadm", "settle"});
    const std::string uuid = must({"blkid", "--cache-file", "/dev/null", "-o", "value", "-s", "UUID", origin.path()});
    const std::string found = must({"blkid", "--uuid", uuid.substr(0, uuid.size() - 1)});
    return {links_by_uuid(), blkid_lines() + found, must({"findmnt", "--noheadings", "--list"}),
        must({"dmsetup", "udevcookies"})};
}

void check_same(const View& now, const View& before)
{
    CHECK(now.links_by_uuid == before.links_by_uuid);
    CHECK(now.blkid == before.blkid);
    CHECK(now.findmnt == before.findmnt);
    CHECK(now.cookies == before.cookies);
}

void snapshot_equals_copy(const std::string& type)
{
    Random random;
    const auto origin = origin_under_test(Bytes{rounds("show1_origin_mib") << 20});
    Filesystem filesystem(origin->path(), type);
    // udev may have begun to watch it when mkfs had closed it already.
    must({"udevadm", "trigger", "--settle", origin->path()});
    const View before = look(*origin);
    const bool create_attaches = type == "xfs";
    if (!create_attaches)
        tool(origin->attaching({"attach"}));
    Load load(filesystem.directory(), Bytes{rounds("show1_file_mib") << 20}, random);
    load.start();
    wait_until("the first pass of fio", 300, [&] { return load.passes() > 0 || !load.running(); });

    {
        const Frozen frozen(filesystem);
        copy(origin->path(), the_copy(), origin->size());
        tool(origin->attaching({"create", "-n", "s1", "--store", store_disk()}));
    }
    const std::string image = origin->image("s1");
    const Bytes chunk = origin->status().chunk.bytes();
    const auto different = [&](Cached cached) { return differences(image, the_copy(), origin->size(), chunk, cached); };

    CHECK(different(Cached::no) == "");
    CHECK(load.running());
    wait_until("enough first writes", 900,
        [&] { return origin->status().copied_chunks >= rounds("show1_first_writes") || !load.running(); });
    {
        INFO("while the image is there");
        check_same(look(*origin), before);
    }
    load.stop();
    CHECK(origin->status().copied_chunks >= rounds("show1_first_writes"));
    CHECK(different(Cached::yes) == "");
    drop_caches();
    CHECK(different(Cached::yes) == "");

    {
        const MountedImage mounted(image, type);
        CHECK(std::filesystem::file_size(mounted.directory() + "/direct.0.0") == rounds("show1_file_mib") << 20);
    }
    CHECK(list_field("s1", "consistency") == "fs");
    if (type == "ext4")
        check_filesystem(image, type); // as it is, without a replay
    tool({"remove", "s1"});
    tool({"detach", origin->device()});
    check_same(look(*origin), before);
    filesystem.unmount();
    check_filesystem(origin->path(), type);
    check_frozen_copy(the_copy(), origin->size(), type); // which the image was equal to
}

} // namespace

TEST_CASE("an image of ext4 equals a copy made while frozen", "[show1-ext4]") { snapshot_equals_copy("ext4"); }

TEST_CASE("an image of xfs equals a copy made while frozen", "[show1-xfs]") { snapshot_equals_copy("xfs"); }
