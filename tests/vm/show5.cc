// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
//
// What a point carries comes back, and what named a point once never names another.
#include "base/text.h"
#include "catch.h"
#include "command.h"
#include "dm-interpose.h"
#include "dm_ioctl.h"
#include "environment.h"
#include "origin.h"
#include "table/messages.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <nlohmann/json.hpp>

using namespace dmsnap;
using namespace dmsnap::literals;
using namespace dmsnap::test;

namespace {

Blob random_bytes(std::size_t count, Random& random)
{
    Blob bytes(count);
    for (std::uint8_t& byte : bytes)
        byte = static_cast<std::uint8_t>(random.next());
    return bytes;
}

std::string_view as_text(const Blob& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

/// All the ways to name a point of an earlier generation.
std::vector<std::string> names_of(const std::string& point)
{
    return {
        list_field(point, "snap_uuid"), fmt::format("{}:{}", list_field(point, "generation"), list_field(point, "id"))};
}

void check_refused(const Origin& origin, const std::vector<std::string>& names)
{
    for (const std::string& name : names) {
        INFO(name);
        for (const Arguments& points : {Arguments{"--since", name}, Arguments{"--since", "new", "--until", name}}) {
            Arguments arguments = {"changed"};
            arguments.insert(arguments.end(), points.begin(), points.end());
            arguments.push_back(origin.device());
            const Result result = run_tool(arguments);
            CHECK(result.status == 7);
            CHECK(result.out == "");
            CHECK(result.err != "");
        }
        if (name.find_first_of(":-") == std::string::npos)
            continue; // a name that was given again is another point's, and none is an error of its own
        for (const Arguments& verb : std::vector<Arguments>{{"remove", name}, {"remove", "--keep-point", name},
                 {"rename", name, "other"}, {"change", "--addtag", "t", name}, {"list", name}}) {
            const Result result = run_tool(verb);
            INFO(verb.front() << " " << result.err);
            CHECK(result.status == 7);
            CHECK(result.out.find(name) == std::string::npos);
            CHECK(result.err != "");
        }
    }
}

} // namespace

TEST_CASE("user data comes back byte for byte", "[show5-data]")
{
    Random random;
    const auto origin = linear_origin(origin_disk(), 16_MiB, 1);
    const std::vector<Blob> all = {random_bytes(INTERPOSE_DATA_MAX, random), Blob(INTERPOSE_DATA_MAX, 0), Blob(1, 0),
        random_bytes(random.between(1, INTERPOSE_DATA_MAX), random), Blob{}};
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::string name = fmt::format("p{}", i);
        INFO(name << " " << to_hex(all[i]));
        tool({"checkpoint", "-n", name, "--data", "-", origin->device()}, as_text(all[i]));
        CHECK(list_field(name, "data") == to_hex(all[i]));
    }
    std::ofstream("/tmp/data") << as_text(all[0]);
    tool({"create", "-n", "s", "--store", store_disk(), "--data", "/tmp/data", origin->device()});
    CHECK(list_field("s", "data") == to_hex(all[0]));
    tool({"remove", "--keep-point", "s"});
    CHECK(list_field("s", "data") == to_hex(all[0]));
    const auto status = nlohmann::json::parse(tool({"status", "--reportformat", "json", origin->device()}));
    CHECK(status.at("report").at(0).at("device").at(0).at("points") == std::to_string(all.size() + 1));

    const Result too_long = run_tool(
        {"checkpoint", "-n", "long", "--data", "-", origin->device()}, std::string(INTERPOSE_DATA_MAX + 1, 'x'));
    CHECK(too_long.status != 0);
    CHECK(run_tool({"list", "long"}).status == 5);
}

TEST_CASE("points are listed with all they carry, however many there are", "[show5-many]")
{
    Random random;
    const auto origin = linear_origin(origin_disk(), 16_MiB, 1);
    tool({"attach", origin->device()});
    const Uuid uuid = *Uuid::from_text(words(must({"dmsetup", "table", origin->dm_name()})).at(5));
    const auto take = [&](const std::string& name, const Blob& data) {
        const TakeMessage message{PointKind::checkpoint, PointName(name), {{uuid, Uuid::random(), {}}}, data};
        return send_message(origin->dm_name(), to_text(message)).error;
    };
    const std::uint64_t count = rounds("show5_points");
    std::string listed;
    for (std::uint64_t i = 0; i < count; ++i) {
        const Blob data = random_bytes(INTERPOSE_DATA_MAX, random);
        REQUIRE(take(fmt::format("p{}", i), data) == 0);
        listed += fmt::format("p{} {}\n", i, to_hex(data));
    }
    const Answer page = send_message(origin->dm_name(), to_text(PointsMessage{0}));
    CHECK(parse_points_page(page.text).next_id); // there is more than fits
    std::string found;
    const std::string report = tool({"list", "--noheadings", "-o", "snap_name,data", origin->device()});
    for (std::string_view line : lines(report))
        found += fmt::format("{}\n", fmt::join(words(line), " "));
    CHECK(found == listed);
    if (count == INTERPOSE_POINTS_MAX) {
        CHECK(take("more", {}) == ENOSPC);
        const Result refused = run_tool({"checkpoint", "-n", "more", origin->device()});
        CHECK(refused.status == 5);
        CHECK(refused.err.find("no more are possible") != std::string::npos);
    }
}

TEST_CASE("a point of an earlier generation is refused, never matched", "[show5-generation]")
{
    const auto origin = linear_origin(origin_disk(), 16_MiB, 1);
    std::vector<std::string> old = {"old"};
    const auto remember = [&](const std::string& point) {
        const auto names = names_of(point);
        old.insert(old.end(), names.begin(), names.end());
    };
    tool({"checkpoint", "-n", "old", origin->device()});
    tool({"checkpoint", "-n", "new", origin->device()});
    remember("old");
    remember("new");

    tool({"detach", origin->device()});
    tool({"checkpoint", "-n", "new", origin->device()}); // has the id that "old" had
    check_refused(*origin, old);
    remember("new");

    tool({"detach", origin->device()});
    must({"rmmod", "dm-interpose"});
    tool({"checkpoint", "-n", "new", origin->device()});
    check_refused(*origin, old);
    CHECK(tool({"changed", "--since", "new", origin->device()}) == "");
}

TEST_CASE("a removed point is refused by each of its names", "[show5-removed]")
{
    const auto origin = linear_origin(origin_disk(), 16_MiB, 1);
    tool({"checkpoint", "-n", "old", origin->device()});
    tool({"checkpoint", "-n", "new", origin->device()});
    std::vector<std::string> names = names_of("old");
    for (const std::string& name : names)
        CHECK(tool({"list", "--noheadings", "-o", "snap_name", name}).find("old") != std::string::npos);
    CHECK(
        tool({"list", "--noheadings", "-o", "snap_name", origin->device() + ":new"}).find("new") != std::string::npos);
    tool({"remove", "old"});
    tool({"checkpoint", "-n", "old", origin->device()}); // the name again, but not the same point
    check_refused(*origin, names);
    CHECK(tool({"changed", "--since", "old", origin->device()}) == "");
}

TEST_CASE("a point from before a restart of the machine is refused, never matched", "[show5-restart]")
{
    const std::string notes = "/root/show5-restart";
    auto origin = linear_origin(origin_disk(), 16_MiB, 2);
    if (!std::filesystem::exists(notes)) {
        tool({"create", "-n", "old", "--store", store_disk(), origin->device()});
        tool({"checkpoint", "-n", "new", origin->device()});
        for (const char* point : {"old", "new"})
            for (const std::string& name : names_of(point))
                std::ofstream(notes, std::ios::app) << name << '\n';
        std::_Exit(75); // and run again after the restart, which finds all of it attached
    }
    std::vector<std::string> names = {"old"};
    std::ifstream file(notes);
    for (std::string name; std::getline(file, name);)
        names.push_back(name);
    REQUIRE(names.size() == 5);
    // The store is known as one whose content went with the restart: it needs no --yes.
    tool({"create", "-n", "new", "--store", store_disk(), origin->device()});
    check_refused(*origin, names);
    CHECK(tool({"changed", "--since", "new", origin->device()}) == "");
}
