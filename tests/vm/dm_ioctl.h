// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Device-mapper asked with words that libdevmapper would not pass on. What is refused is an errno value here, not an
/// exception.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dmsnap::test {

struct Answer {
    int error = 0; ///< errno value, 0 if it was done
    std::string text;
};

/// A message to the target at a sector of a device.
Answer send_message(const std::string& dm_name, std::string_view text, std::uint64_t sector = 0);

/// Loads a table of one line into the inactive slot of a device; `read_only`, as an image's has to be.
int load_line(const std::string& dm_name, std::uint64_t start, std::uint64_t length, std::string_view target,
    std::string_view arguments, bool read_only = false);

/// A device without a table, whatever its name; its number as "major:minor".
std::string create_device(const std::string& dm_name);
int remove_device(const std::string& dm_name);
/// Empties the inactive slot.
int clear_device(const std::string& dm_name);

} // namespace dmsnap::test
