// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "base/units.h"
#include "world/file.h"

#include <functional>

namespace dmsnap {

/// What copy_device() leaves for the end, at both ends of a device: where whoever looks at one expects to find out what
/// it holds.
inline constexpr Bytes copied_last{1 << 20};

/// Fills both ends of the first `length` bytes of a block device that is open with O_DIRECT, 0 for all of it, with zeros, and
/// makes them durable: from then on it is taken for nothing.  `end`: how long either is, 0 for `copied_last`.  Throws Error.
void blank_ends(const File& device, Bytes length = {}, Bytes end = {});

/// Copies the first `length` bytes of a block device to another one that is at least as long, and makes them durable.
/// Both ends of `to` are zero until all between them is there, and its beginning comes last: a copy that was not finished
/// is taken for nothing, neither for what it was to be nor for what was there before.
/// Both are opened with O_DIRECT; `length` is a multiple of their blocks.
/// Calls `progress` before each part, with what is done, but not any more once the beginning is written; what that throws
/// ends the copy.  Throws Error.
void copy_device(const File& from, const File& to, Bytes length, const std::function<void(Bytes done)>& progress);

} // namespace dmsnap
