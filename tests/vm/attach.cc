// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// Every kind of device is attached and detached under load, again and again, and is then as it was; what cannot be
// attached is refused and left alone.
#include "catch.h"
#include "changes.h"
#include "command.h"
#include "disk.h"
#include "environment.h"
#include "kinds.h"
#include "load.h"
#include "origin.h"
#include "wait.h"

#include <algorithm>
#include <fmt/format.h>
#include <regex>
#include <sstream>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

Bytes mebibytes(const char* row) { return Bytes{rounds(row) << 20}; }

std::string sorted_lines(const std::string& text)
{
    std::vector<std::string> all;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);)
        all.push_back(line);
    std::sort(all.begin(), all.end());
    return fmt::format("{}\n", fmt::join(all, "\n"));
}

/// All that device-mapper and LVM say of the machine's devices, but for how full they are.
struct Look {
    std::string tables = sorted_lines(must({"dmsetup", "table", "--showkeys"}));
    /// Without the sixth character of lv_attr, which shows whether udev is looking into one at the moment.
    std::string volumes = std::regex_replace(
        must({"lvs", "-a", "-o",
            "lv_attr,vg_name,lv_name,lv_permissions,lv_active,lv_layout,lv_health_status,lv_size,pool_lv,segtype,"
            "copy_percent,devices,lv_uuid"}),
        std::regex("(^|\n)( *\\S{5})[-oX]"), "$1$2.");
    std::string tree = must({"dmsetup", "ls", "--tree", "-o", "ascii"});
    bool operator==(const Look&) const = default;
};

void check_same(const Look& now, const Look& before)
{
    CHECK(now.tables == before.tables);
    CHECK(now.volumes == before.volumes);
    CHECK(now.tree == before.tree);
}

void wait_for_writes(const Origin& origin, const Load& load)
{
    tool({"checkpoint", "-n", "before", origin.device()});
    wait_until("a write is seen", 120, [&] { return changed(origin, "before", "") != "" || !load.running(); });
}

void snapshot_equals_copy(const Origin& origin, const Filesystem& filesystem)
{
    {
        const Frozen frozen(filesystem);
        copy(origin.path(), the_copy(), origin.size());
        tool({"create", "-n", "s", "--store", store_disk(), origin.device()});
    }
    CHECK(differences(origin.image("s"), the_copy(), origin.size(), origin.status().chunk.bytes(), Cached::no) == "");
    CHECK(list_field("s", "valid") == "valid");
    tool({"remove", "s"});
}

void attach_and_detach()
{
    Random random;
    const auto origin = origin_under_test(mebibytes("attach_origin_mib"));
    Filesystem filesystem(origin->path(), "ext4");
    Load load(filesystem.directory(), mebibytes("attach_file_mib"), random);
    const Look before;
    load.start();
    const std::uint64_t last = rounds("attach_rounds");
    for (std::uint64_t round = 1; round <= last && load.running(); ++round) {
        INFO("round " << round);
        tool(origin->attaching({"attach"}));
        wait_for_writes(*origin, load);
        if (round == last)
            snapshot_equals_copy(*origin, filesystem);
        tool({"detach", origin->device()});
        check_same(Look(), before);
    }
    load.stop();
    filesystem.unmount();
    check_filesystem(origin->path(), "ext4");
}

void require_target(const std::string& name)
{
    try_to({"modprobe", "-q", "dm-" + name}); // built into the debug kernel
    REQUIRE(must({"dmsetup", "targets"}).find(name + " ") != std::string::npos);
}

/// `reason` and `next_step` are what must be found in the two lines it says.
void check_refused(
    const std::string& device, const std::string& reason, const std::string& next_step, const std::string& via = "auto")
{
    INFO(device);
    const Look before;
    for (const Arguments& verb : {Arguments{"attach", "--via", via, device},
             Arguments{"create", "--via", via, "-n", "s", "--store", store_disk(), device}}) {
        const Result result = run_tool(verb);
        INFO(result.err);
        CHECK(result.status == 5);
        CHECK(result.out == "");
        CHECK(std::regex_search(result.err, std::regex("^dmsnap: [^ ]+: cannot attach: .*" + reason)));
        CHECK(std::regex_search(result.err, std::regex("\n  try: .*" + next_step)));
    }
    check_same(Look(), before);
}

} // namespace

TEST_CASE("a device is attached and detached under load", "[attach]") { attach_and_detach(); }

TEST_CASE("an LV of one segment is attached in place, without a further device", "[attach-in-place]")
{
    const auto origin = lvm_origin(origin_disk(), 64_MiB);
    tool({"attach", "--via", "table", origin->device()});
    CHECK(must({"dmsetup", "ls"}).find("dmsnap-") == std::string::npos);
    CHECK(must({"dmsetup", "table", "test-origin"}).find(" interpose ") != std::string::npos);
    tool({"detach", origin->device()});
}

TEST_CASE("what cannot be attached is refused and left as it is", "[refused-targets]")
{
    SECTION("a thin pool")
    {
        const auto origin = thin_origin(64_MiB);
        for (const char* via : {"auto", "table", "hook"})
            check_refused("/dev/mapper/test-pool-tpool", "thin pool", "thin volumes", via);
        check_refused("/dev/mapper/test-pool_tdata", "part of a logical volume", "volume itself");
        check_refused("/dev/mapper/test-pool_tdata", "part of a logical volume", "volume itself", "table");
        check_refused("/dev/mapper/test-pool_tmeta", "part of a logical volume", "volume itself");
    }
    SECTION("an origin of LVM's snapshots, and what belongs to it")
    {
        const auto origin = lvm_snapshot_origin(64_MiB);
        check_refused(origin->device(), "snapshots of LVM's", "--via hook", "table");
        check_refused("test/snap", "snapshot of LVM's", "lvremove", "table");
        check_refused("/dev/mapper/test-origin-real", "part of a logical volume", "volume itself");
        check_refused("/dev/mapper/test-snap-cow", "part of a logical volume", "volume itself");
    }
    SECTION("the legs of a mirror")
    {
        const auto origin = raid1_origin(64_MiB);
        check_refused("/dev/mapper/test-origin_rimage_0", "part of a logical volume", "volume itself");
        check_refused("/dev/mapper/test-origin_rmeta_1", "part of a logical volume", "volume itself");
    }
    SECTION("LUKS2 as it is by default, with the key in the keyring")
    {
        const auto origin = crypt_origin(64_MiB, Key::in_keyring);
        REQUIRE(must({"dmsetup", "table", "--showkeys", "test-origin"}).find(":logon:") != std::string::npos);
        check_refused(origin->device(), "keyring", "--disable-keyring", "table");
    }
    SECTION("multipath")
    {
        require_target("multipath");
        const auto origin = multipath_origin(64_MiB);
        check_refused(origin->device(), "multipath", "what lies on it", "table");
        check_refused(origin_disk(), "one path of a multipath device", "the multipath device", "hook");
    }
}
