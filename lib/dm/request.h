// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/names.h"
#include "table/table.h"

#include <cstddef>
#include <cstdint>
#include <linux/dm-ioctl.h>
#include <optional>
#include <string_view>
#include <sys/ioctl.h> // for the numbers of dm-ioctl.h
#include <vector>

namespace dmsnap {

/// An ioctl of device-mapper with all it needs, made beforehand and good for several times: for where nothing may be
/// allocated or logged, both of which libdevmapper does.  Internal to lib/dm.
class Request {
public:
    /// Room for table and status as the kernel prints them; of a longer one only the beginning is read.
    static constexpr std::size_t status_bytes = 64 << 10;

    Request(unsigned long command, const DmName& name, std::uint32_t flags, std::size_t room = 0);

    /// For a resume: what udev's rules find in the event.
    Request with_udev_flags(std::uint16_t flags) &&;
    /// For a load.
    Request with_table(const Table& table) &&;

    /// 0 or an errno value.
    int run(int control) noexcept;

    // Of the answer.
    bool is_suspended() const noexcept { return (answer()->flags & DM_SUSPEND_FLAG) != 0; }
    bool has_loaded() const noexcept { return (answer()->flags & DM_INACTIVE_PRESENT_FLAG) != 0; }
    bool is_interpose() const noexcept;
    /// Of a table: whether it is the other one's.
    bool tells_same_table(const Request& other) const noexcept;
    /// Of a status: whether the raid lines, one after the other, have the same failed legs as `health`.
    bool has_failures_of(std::string_view health) const noexcept;
    /// Whether they have exactly these.
    bool has_health(std::string_view health) const noexcept;

private:
    const dm_ioctl* answer() const noexcept { return reinterpret_cast<const dm_ioctl*>(bytes_.data()); }
    void add_target(const TableLine& line);
    /// `at` is counted from the first line.
    std::optional<dm_target_spec> line_at(std::uint32_t at) const noexcept;
    /// Only where there is a line.
    std::string_view text_at(std::uint32_t at) const noexcept;
    template <typename Fits> bool raid_lines_fit(std::string_view health, Fits fits) const noexcept;

    unsigned long command_;
    dm_ioctl pristine_{};
    std::vector<char> bytes_;
};

} // namespace dmsnap
