// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "dm/request.h"

#include "dm-interpose.h"
#include "table/raid.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <libdevmapper.h>
#include <string>
#include <utility>

namespace dmsnap {
namespace {

bool is_type(const dm_target_spec& line, const char* type) noexcept
{
    return std::strncmp(line.target_type, type, sizeof(line.target_type)) == 0;
}

} // namespace

Request::Request(unsigned long command, const DmName& name, std::uint32_t flags, std::size_t room)
    : command_(command), bytes_(sizeof(dm_ioctl) + room)
{
    pristine_.version[0] = DM_VERSION_MAJOR;
    pristine_.data_size = static_cast<std::uint32_t>(bytes_.size());
    pristine_.data_start = sizeof(dm_ioctl);
    pristine_.flags = flags;
    std::copy(name.text().begin(), name.text().end(), pristine_.name);
}

Request Request::with_udev_flags(std::uint16_t flags) &&
{
    pristine_.event_nr = static_cast<std::uint32_t>(flags | DM_UDEV_PRIMARY_SOURCE_FLAG) << DM_UDEV_FLAGS_SHIFT;
    return std::move(*this);
}

Request Request::with_table(const Table& table) &&
{
    for (const TableLine& line : table)
        add_target(line);
    return std::move(*this);
}

void Request::add_target(const TableLine& line)
{
    const std::string arguments = target_arguments(line.target);
    const std::size_t begin = bytes_.size();
    // A line begins where the one before it says: at a multiple of eight, behind its NUL.
    const std::size_t length = (sizeof(dm_target_spec) + arguments.size() + 1 + 7) & ~std::size_t{7};
    bytes_.resize(begin + length);
    dm_target_spec spec{};
    spec.sector_start = line.start.count;
    spec.length = line.length.count;
    spec.next = static_cast<std::uint32_t>(length);
    const std::string type = target_type(line.target);
    std::copy_n(type.begin(), std::min(type.size(), sizeof(spec.target_type) - 1), spec.target_type);
    std::memcpy(&bytes_[begin], &spec, sizeof(spec));
    std::memcpy(&bytes_[begin + sizeof(spec)], arguments.c_str(), arguments.size() + 1);
    ++pristine_.target_count;
    pristine_.data_size = static_cast<std::uint32_t>(bytes_.size());
}

int Request::run(int control) noexcept
{
    std::memcpy(bytes_.data(), &pristine_, sizeof(pristine_));
    return ioctl(control, command_, bytes_.data()) == 0 ? 0 : errno;
}

bool Request::is_interpose() const noexcept
{
    const auto line = line_at(0);
    return answer()->target_count > 0 && line && is_type(*line, INTERPOSE_TARGET);
}

bool Request::tells_same_table(const Request& other) const noexcept
{
    if (answer()->target_count != other.answer()->target_count)
        return false;
    std::uint32_t at = 0;
    std::uint32_t other_at = 0;
    for (std::uint32_t i = 0; i < answer()->target_count; ++i) {
        const auto line = line_at(at);
        const auto other_line = other.line_at(other_at);
        if (!line || !other_line || line->sector_start != other_line->sector_start ||
            line->length != other_line->length || !is_type(*line, other_line->target_type) ||
            text_at(at) != other.text_at(other_at))
            return false;
        at = line->next;
        other_at = other_line->next;
    }
    return true;
}

template <typename Fits> bool Request::raid_lines_fit(std::string_view health, Fits fits) const noexcept
{
    std::uint32_t at = 0;
    for (std::uint32_t i = 0; i < answer()->target_count; ++i) {
        const auto line = line_at(at);
        if (!line)
            return false;
        if (is_type(*line, "raid")) {
            const std::string_view word = raid_health(text_at(at));
            if (!fits(word, health.substr(0, word.size())))
                return false;
            health.remove_prefix(word.size());
        }
        at = line->next;
    }
    return health.empty();
}

bool Request::has_failures_of(std::string_view health) const noexcept
{
    return raid_lines_fit(health, [](auto word, auto part) { return same_failures(word, part); });
}

bool Request::has_health(std::string_view health) const noexcept
{
    return raid_lines_fit(health, [](auto word, auto part) { return word == part; });
}

std::optional<dm_target_spec> Request::line_at(std::uint32_t at) const noexcept
{
    dm_target_spec spec;
    const std::size_t begin = std::size_t{answer()->data_start} + at;
    if (begin + sizeof(spec) > bytes_.size())
        return std::nullopt;
    std::memcpy(&spec, &bytes_[begin], sizeof(spec));
    return spec;
}

std::string_view Request::text_at(std::uint32_t at) const noexcept
{
    const std::size_t begin = std::size_t{answer()->data_start} + at + sizeof(dm_target_spec);
    return {bytes_.data() + begin, strnlen(bytes_.data() + begin, bytes_.size() - begin)};
}

} // namespace dmsnap
