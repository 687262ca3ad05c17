// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// Whether what a device holds may be written over: by a store, by a copy of another device.
#pragma once

#include "world/overwrite_facts.h"

#include <optional>
#include <string>

namespace dmsnap {

/// Why a device may not become a store; nothing if it may.  What is there goes only with `overwrite`, what is in use
/// never.
std::optional<std::string> store_refusal(const OverwriteFacts& facts, bool overwrite);
/// Whether it is what it carries that alone stands against it, so that a "yes" would do.
bool only_signature_refuses(const OverwriteFacts& facts);
/// Why a device may not become a copy of the origin, which is so long.
std::optional<std::string> copy_refusal(const OverwriteFacts& facts, Sectors length, bool overwrite);
/// Whether it is somebody's opening it that stands against it, which may be over in a moment.
bool may_pass(const OverwriteFacts& facts);

} // namespace dmsnap
