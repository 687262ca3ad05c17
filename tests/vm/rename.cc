// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// A point changes its name, its tags and its data, and stays the same point.
#include "catch.h"
#include "changes.h"
#include "command.h"
#include "environment.h"
#include "origin.h"

#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <sstream>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

std::string content(const std::string& path)
{
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
}

void write_file(const std::string& path, const std::string& text)
{
    std::ofstream(path) << text;
    must({"sync", path});
}

std::string refusal(const Arguments& arguments, int status)
{
    const Result result = run_tool(arguments);
    CHECK(result.status == status);
    CHECK(result.out == "");
    return result.err;
}

} // namespace

TEST_CASE("a snapshot is renamed while its image is mounted", "[rename]")
{
    const auto origin = linear_origin(origin_disk(), 64_MiB, 2);
    Filesystem filesystem(origin->path(), "ext4");
    write_file(filesystem.directory() + "/file", "before");
    tool({"create", "-n", "s1", "--store", store_disk(), origin->device()});
    tool({"checkpoint", "-n", "c1", origin->device()});
    write_file(filesystem.directory() + "/file", "after");
    const std::string uuid = list_field("s1", "snap_uuid");
    const auto changed_since = [&](const std::string& point) {
        return parse_changed(
            tool({"changed", "--since", point, origin->device()}), origin->size(), origin->status().chunk.bytes());
    };
    const ChunkSet changes = changed_since("s1");
    {
        const MountedImage mounted(origin->image("s1"), "ext4");
        tool({"rename", "s1", "monday"});
        must({"udevadm", "settle"});
        CHECK(content(mounted.directory() + "/file") == "before");
        CHECK(refusal({"remove", "monday"}, 5).find(mounted.directory()) != std::string::npos);
        CHECK(std::filesystem::exists(origin->image("monday")));
        CHECK_FALSE(std::filesystem::exists("/dev/dmsnap/s1"));
        CHECK(list_field("monday", "snap_uuid") == uuid);
        CHECK(changes.not_in(changed_since("monday")) == ""); // the filesystem may have written more of itself
        CHECK(run_tool({"list", "s1"}).status == 5);
    }
    tool({"rename", fmt::format("{}:c1", origin->device()), "c2"});
    tool({"rename", "monday", "monday"});

    CHECK(refusal({"rename", "monday", "c2"}, 5).find("another name") != std::string::npos);
    CHECK(refusal({"rename", "s1", "x"}, 5).find("there is no such point") != std::string::npos);
    for (const char* bad : {"..", "a b", "a/b", "", "00112233-4455-4677-8899-aabbccddeeff"})
        CHECK(refusal({"rename", "monday", bad}, 3).find("name") != std::string::npos);
    CHECK(refusal({"rename", "monday", std::string(121, 'x')}, 3).find("too long") != std::string::npos);
    must({"dmsetup", "create", "dmsnap-taken", "--table", "0 8 zero"});
    CHECK(refusal({"rename", "monday", "taken"}, 5).find("exists") != std::string::npos);
    must({"dmsetup", "remove", "dmsnap-taken"});
    CHECK(list_field("monday", "snap_path") == origin->image("monday"));

    tool({"remove", "monday", "c2"});
    CHECK_FALSE(std::filesystem::exists("/dev/dmsnap/monday"));
}

TEST_CASE("tags and data of points are changed", "[change]")
{
    const auto origin = linear_origin(origin_disk(), 16_MiB, 1);
    tool({"checkpoint", "-n", "p", "--addtag", "daily", "--addtag", "host=web1", "--data", "-", origin->device()},
        "old");
    tool({"checkpoint", "-n", "q", origin->device()});
    CHECK(list_field("p", "snap_tags") == "daily,host=web1");
    CHECK(list_field("q", "snap_tags") == "");

    tool({"change", "--addtag", "kept", "--addtag", "daily", "--deltag", "host=web1", "--deltag", "none", "p", "q"});
    CHECK(list_field("p", "snap_tags") == "daily,kept");
    CHECK(list_field("q", "snap_tags") == "kept,daily");
    CHECK(list_field("p", "data") == "6f6c64");
    tool({"change", "--data", "-", "p", "q"}, "new");
    CHECK(list_field("p", "data") == "6e6577");
    CHECK(list_field("q", "data") == "6e6577");
    const std::uint32_t events = origin->event_number();
    tool({"change", "--addtag", "daily", "p"});
    CHECK(origin->event_number() == events); // nothing was to be done
    tool({"change", "--data", "/dev/null", "--deltag", "daily", "--deltag", "kept", "p"});
    CHECK(list_field("p", "data") == "");
    CHECK(list_field("p", "snap_tags") == "");
    CHECK(origin->event_number() > events);

    for (const char* bad : {"", "-x", "a b", "a,b", "=", "@x"})
        CHECK(refusal({"change", fmt::format("--addtag={}", bad), "p"}, 3).find("tag") != std::string::npos);
    CHECK(refusal({"change", "p"}, 3).find("--addtag") != std::string::npos);
    CHECK(refusal({"change", "--addtag", std::string(250, 'x'), "q"}, 3).find("255") != std::string::npos);
    CHECK(list_field("q", "snap_tags") == "kept,daily");
    const Result some = run_tool({"change", "--addtag", "more", "nothing-here", "q"});
    CHECK(some.status == 5);
    CHECK(list_field("q", "snap_tags") == "kept,daily,more");
}
