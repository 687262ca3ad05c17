// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace dmsnap {

/// CRC-32C (Castagnoli) as in RFC 3720, B.4: what the header of a store is sealed with.
std::uint32_t crc32c(std::span<const std::byte> bytes) noexcept;

} // namespace dmsnap
