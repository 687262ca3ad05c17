// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/crc32c.h"

namespace dmsnap {

// Bit by bit: it sees one block of 4 KiB a command, where a table of 1 KiB would not pay.
std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept
{
    constexpr std::uint32_t polynomial_reversed = 0x82f63b78;

    std::uint32_t crc = ~0U;
    for (std::byte byte : bytes) {
        crc ^= std::to_integer<std::uint32_t>(byte);
        for (int bit = 0; bit < 8; ++bit)
            crc = (crc >> 1U) ^ ((crc & 1U) != 0 ? polynomial_reversed : 0U);
    }
    return ~crc;
}

} // namespace dmsnap
