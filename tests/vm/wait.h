// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <chrono>
#include <fmt/format.h>
#include <stdexcept>
#include <string>
#include <thread>

namespace dmsnap::test {

/// Returns as soon as `condition()` holds; throws "WHAT: not within N s" if that takes longer.
template <typename Condition> void wait_until(const std::string& what, int seconds, Condition condition)
{
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
    while (!condition()) {
        if (std::chrono::steady_clock::now() >= end)
            throw std::runtime_error(fmt::format("{}: not within {} s", what, seconds));
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
}

} // namespace dmsnap::test
