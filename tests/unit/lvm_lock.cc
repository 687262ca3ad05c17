// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "machine/lvm_lock.h"
#include "base/error.h"
#include "catch.h"

#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/file.h>
#include <unistd.h>
#include <vector>

using namespace dmsnap;

TEST_CASE("LVM's lock is waited for, loudly, and not for ever", "[unit]")
{
    using namespace std::chrono_literals;
    char folder[] = "/tmp/dmsnap-lvm-lock-XXXXXX";
    REQUIRE(mkdtemp(folder) != nullptr);
    const std::filesystem::path file = std::filesystem::path(folder) / "V_vg";
    const LvmLock::Terms terms{folder, 20ms, 200ms};
    std::vector<std::string> said;
    const auto say = [&](const std::string& line) { said.push_back(line); };

    const int lvm = open(file.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    REQUIRE(flock(lvm, LOCK_SH) == 0);
    std::string reason;
    try {
        const LvmLock lock("vg", say, terms);
    } catch (const Error& error) {
        reason = error.what();
    }
    CHECK(reason.find("volume group vg: cannot lock it: LVM has been at work on it for 0.2 s") == 0);
    CHECK(said == std::vector<std::string>{"waiting for LVM, which is at work on volume group vg"});
    CHECK_FALSE(std::filesystem::exists(file.string() + ":aux"));

    close(lvm);
    {
        const LvmLock lock("vg", say, terms);
        CHECK(std::filesystem::exists(file));
        CHECK_THROWS_AS(LvmLock("vg", say, terms), Error);
    }
    CHECK(said.size() == 2);
    CHECK(std::filesystem::is_empty(folder));
    std::filesystem::remove_all(folder);
}

TEST_CASE("the volume group of a logical volume is known by its device's name", "[unit]")
{
    CHECK(volume_group_of("vg-home", "LVM-x") == "vg");
    CHECK(volume_group_of("my--vg-my--lv", "LVM-x") == "my-vg");
    CHECK(volume_group_of("a----b-lv", "LVM-x") == "a--b");
    CHECK(volume_group_of("vg-pool-tpool", "LVM-x-tpool") == "vg");
    CHECK_FALSE(volume_group_of("vg-home", "CRYPT-x"));
    CHECK_FALSE(volume_group_of("vg-home", ""));
    CHECK_FALSE(volume_group_of("vg--home", "LVM-x"));
    CHECK_FALSE(volume_group_of("-home", "LVM-x"));
}
