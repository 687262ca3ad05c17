// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// The blocks of a file as a table.
///
///   file      |..1..|....2....|.3.|        extents, anywhere on the device
///   device    ..[  2 2 2 ]...[1 1]..[3]..
///   table     |1 1|2 2 2|                   whole chunks of the device only: none holds data of somebody else too
#pragma once

#include "table/messages.h"
#include "table/table.h"

#include <vector>

namespace dmsnap {

/// What of a file's extents are whole chunks of their device, in the order of the file; neighbours are joined first.  The
/// first chunk of the device and the last are left out: a write over its border may touch them.
std::vector<Run> whole_chunks(const std::vector<Run>& extents, Sectors chunk, Sectors device);

/// Only so much from their beginning.
std::vector<Run> first_of(const std::vector<Run>& runs, Sectors length);

/// One linear line for each, one behind the other, on a device whose sector 0 is at `base_start` of `base`.
Table table_of(const std::vector<Run>& runs, const DeviceRef& base, Sectors base_start);

/// The runs that such a table was made of; empty if it is none, or not on that base.
std::vector<Run> runs_of(const Table& table, const DeviceRef& base, Sectors base_start);

/// All of them together.
Sectors length(const std::vector<Run>& runs);

} // namespace dmsnap
