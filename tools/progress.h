// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/units.h"
#include "log.h"

#include <chrono>
#include <fmt/format.h>
#include <string>
#include <utility>

namespace dmsnap::tool {

/// Says every five seconds how far something is.
class Progress {
public:
    explicit Progress(std::string what) : what_(std::move(what)) {}

    void say(Bytes done, Bytes all)
    {
        if (Clock::now() < next_)
            return;
        log_progress(fmt::format("{}: {:.1f} % of {} copied", what_,
            100.0 * static_cast<double>(done.count) / static_cast<double>(all.count), show_size(all, 'h')));
        next_ = Clock::now() + between_reports;
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr auto between_reports = std::chrono::seconds(5);

    std::string what_;
    Clock::time_point next_ = Clock::now() + between_reports;
};

} // namespace dmsnap::tool
