// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "dm_state.h"

#include "base/text.h"
#include "dm/libdevmapper.h"
#include "dm_ioctl.h"
#include "table/table.h"

#include <algorithm>
#include <cstdint>
#include <fmt/format.h>
#include <fstream>
#include <libdevmapper.h>
#include <limits>
#include <memory>
#include <regex>
#include <set>

namespace dmsnap::test {
namespace {

std::string state_of(Dm& dm, const DmName& name)
{
    const auto info = dm.info(name);
    if (!info)
        return {};
    const Table table = info->live_table ? dm.table(name) : Table{};
    std::string text = fmt::format("{} {} {} {} {} {}\n", name.text(), info->uuid, info->number.text(), info->suspended,
        info->inactive_table, info->read_only);
    for (const TableLine& line : table)
        text += "  " + to_text(line) + "\n";
    if (info->inactive_table)
        for (const TableLine& line : dm.inactive_table(name))
            text += "  loaded: " + to_text(line) + "\n";
    if (interpose_line(table) != nullptr)
        text += send_message(name.text(), "points 0").text;
    return text;
}

std::string device_mapper_major()
{
    std::ifstream file("/proc/devices");
    std::string number;
    std::string name;
    while (file >> number >> name)
        if (name == "device-mapper")
            break;
    return number;
}

} // namespace

std::string device_mapper_state()
{
    static const std::unique_ptr<Dm> dm = make_libdevmapper();
    auto names = dm->list();
    std::sort(names.begin(), names.end());
    std::string text;
    for (const DmName& name : names)
        text += state_of(*dm, name);
    return text;
}

std::string lasting_state()
{
    static const std::pair<std::regex, const char*> drawn[] = {
        {std::regex("[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"), "UUID"},
        {std::regex("(dmsnap-(base|store|top)-)[0-9a-f]{8}"), "$1ID"},
        {std::regex("(interpose-image UUID UUID) [0-9]+"), "$1 POINT"},
        {std::regex("(^|\n)[0-9]+ ((snapshot|checkpoint) [a-z]+) [0-9]+"), "$1POINT $2 TIME"},
        {std::regex(" " + device_mapper_major() + ":[0-9]+"), " DM"},
    };
    std::string text = device_mapper_state();
    for (const auto& [pattern, word] : drawn)
        text = std::regex_replace(text, pattern, word);
    // By name, and the names have ids in them.
    std::multiset<std::string> sorted;
    for (const std::string_view line : lines(text))
        sorted.emplace(line);
    return fmt::format("{}\n", fmt::join(sorted, "\n"));
}

unsigned udev_cookies()
{
    std::ifstream file("/proc/sysvipc/sem");
    constexpr auto whole_line = std::numeric_limits<std::streamsize>::max();
    file.ignore(whole_line, '\n');
    unsigned count = 0;
    for (std::int64_t key = 0; file >> key; file.ignore(whole_line, '\n'))
        if (static_cast<std::uint32_t>(key) >> 16 == DM_COOKIE_MAGIC)
            ++count;
    return count;
}

} // namespace dmsnap::test
