// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors

#include "machine/global_lock.h"
#include "base/error.h"
#include "catch.h"
#include "world_tree.h"

#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

using namespace dmsnap;
using namespace dmsnap::test;
namespace fs = std::filesystem;

namespace {

/// A place where anybody may make things, as /run/lock is.
class PublicFolder {
public:
    fs::path locks() const { return directory_.path() / "dmsnap"; }
    fs::path file() const { return locks() / "global"; }
    fs::path elsewhere() const { return directory_.path() / "elsewhere"; }

private:
    TemporaryDirectory directory_;
};

std::string note(const fs::path& file)
{
    std::string text;
    std::getline(std::ifstream(file), text);
    return text;
}

/// What it says if the lock cannot be had; empty if it can.
std::string refusal(const PublicFolder& place)
{
    try {
        const GlobalLock lock({}, place.locks());
    } catch (const Error& error) {
        CHECK(error.fault() == Fault::cannot_start);
        CHECK(error.next_step() != "");
        return error.reason();
    }
    return {};
}

fs::perms mode_of(const fs::path& path) { return fs::status(path).permissions(); }

} // namespace

TEST_CASE("the lock's folder is made for its user alone", "[unit]")
{
    const PublicFolder place;
    const mode_t before = umask(0);
    {
        GlobalLock lock({}, place.locks());
        lock.write(7);
        CHECK(note(place.file()) == "7");
    }
    umask(before);
    CHECK(mode_of(place.locks()) == fs::perms::owner_all);
    CHECK(mode_of(place.file()) == (fs::perms::owner_read | fs::perms::owner_write));
    CHECK(refusal(place) == "");
    CHECK(note(place.file()) == ""); // it was no cookie, and is gone all the same
}

TEST_CASE("a folder for locks that somebody else can write to is not used", "[unit]")
{
    const PublicFolder place;
    fs::create_directory(place.locks());
    fs::permissions(place.locks(), fs::perms::all);
    CHECK(refusal(place) == "other users have access to it");
    CHECK_FALSE(fs::exists(place.file()));
    if (geteuid() == 0) {
        fs::permissions(place.locks(), fs::perms::owner_all);
        REQUIRE(chown(place.locks().c_str(), 65534, 65534) == 0);
        CHECK(refusal(place) == "it belongs to another user");
        CHECK_FALSE(fs::exists(place.file()));
    }
}

TEST_CASE("neither folder nor file of the lock may be a link", "[unit]")
{
    const PublicFolder place;
    fs::create_directory(place.elsewhere());
    fs::create_symlink(place.elsewhere(), place.locks());
    CHECK(refusal(place) != "");
    CHECK(fs::is_empty(place.elsewhere()));
    fs::remove(place.locks());
    fs::create_directory(place.locks());
    fs::permissions(place.locks(), fs::perms::owner_all);
    fs::create_symlink(place.elsewhere() / "file", place.file());
    CHECK(refusal(place) != "");
    CHECK(fs::is_empty(place.elsewhere()));
}

TEST_CASE("the lock's file is a regular one of its user alone, and nobody waits for another kind", "[unit]")
{
    const PublicFolder place;
    CHECK(refusal(place) == "");
    fs::remove(place.file());
    REQUIRE(mkfifo(place.file().c_str(), 0600) == 0);
    CHECK(refusal(place) == "it is no regular file");
    fs::remove(place.file());
    std::ofstream(place.file()) << "1\n";
    fs::permissions(place.file(), fs::perms::owner_all | fs::perms::others_read);
    CHECK(refusal(place) == "other users have access to it");
    CHECK(note(place.file()) == "1");
}
