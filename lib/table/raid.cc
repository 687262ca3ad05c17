// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "table/raid.h"

#include "base/text.h"

#include <algorithm>
#include <cstddef>

namespace dmsnap {

std::string_view raid_health(std::string_view status) noexcept
{
    for (int skipped = 0;; ++skipped) {
        status.remove_prefix(std::min(status.find_first_not_of(' '), status.size()));
        const std::string_view word = status.substr(0, status.find(' '));
        if (skipped == 2 || word.empty())
            return word;
        status.remove_prefix(word.size());
    }
}

bool same_failures(std::string_view health, std::string_view other) noexcept
{
    return std::equal(health.begin(), health.end(), other.begin(), other.end(),
        [](char a, char b) { return (a == 'D') == (b == 'D'); });
}

std::optional<RaidStatus> parse_raid_status(std::string_view line)
{
    const auto all = words(line);
    if (all.size() < 5 || all[0] != "raid")
        return std::nullopt;
    const auto ratio = split(all[4], '/');
    const auto synced = parse_u64(ratio.front());
    const auto of = parse_u64(ratio.back());
    if (ratio.size() != 2 || !synced || !of)
        return std::nullopt;
    return RaidStatus{std::string(all[1]), std::string(all[3]), Sectors{*synced}, Sectors{*of},
        std::string(all.size() > 5 ? all[5] : "")};
}

std::optional<RaidTable> parse_raid_table(std::string_view arguments)
{
    // LEVEL COUNT PARAMETER... LEGS META DATA META DATA...
    const auto all = words(arguments);
    const auto parameters = all.size() > 1 ? parse_u64(all[1]) : std::nullopt;
    if (!parameters || *parameters > all.size() - 2)
        return std::nullopt;
    const auto devices = static_cast<std::size_t>(*parameters) + 3;
    if (devices > all.size() || parse_u64(all[devices - 1]) != (all.size() - devices) / 2 ||
        (all.size() - devices) % 2 != 0)
        return std::nullopt;
    RaidTable table{std::string(all[0]), {}};
    for (std::size_t at = devices + 1; at < all.size(); at += 2)
        table.data.emplace_back(all[at]);
    return table;
}

} // namespace dmsnap
