"""The published program's crop of the portrait; here the face stage crops."""

from stages.infer.sonic.picture import Box, Rectangle


def crop_square(box_xyxy: Box, expand_ratio: float, width: int, height: int) -> Rectangle:
    """The largest square around a face within the expanded box and the picture.

    box_xyxy: face in pixels: left, top, right, bottom; it grows by ``expand_ratio`` (0.1 to 1, officially 0.5) of its
    size on each side and is cut at the picture's borders. The square has the shorter side of the result and lies along
    the longer one as near to the face's centre as possible. Returns left, top, right, bottom, half-open; each edge is
    rounded independently, half to even.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box_xyxy)
    margin_x, margin_y = expand_ratio * (x2 - x1), expand_ratio * (y2 - y1)
    left, top = max(x1 - margin_x, 0.0), max(y1 - margin_y, 0.0)
    right, bottom = min(x2 + margin_x, float(width)), min(y2 + margin_y, float(height))
    across, down = right - left, bottom - top
    centre_x, centre_y = (left + right) / 2, (top + bottom) / 2
    if across < down:
        centre_y = _move_towards(centre_y, (y1 + y2) / 2, (down - across) / 2)
    else:
        centre_x = _move_towards(centre_x, (x1 + x2) / 2, (across - down) / 2)
    half = min(across, down) / 2
    return round(centre_x - half), round(centre_y - half), round(centre_x + half), round(centre_y + half)


def _move_towards(start: float, goal: float, at_most: float) -> float:
    return start + min(max(goal - start, -at_most), at_most)
