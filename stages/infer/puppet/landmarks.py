"""Landmark numbers of MediaPipe's face mesh (468 points, then 5 for each iris) that the puppet moves or measures.

"Left" and "right" are those of the picture. A contour runs from the picture's left mouth corner to the right one.
"""

Contour = tuple[int, ...]

# Four rings of eleven points around the mouth, from the skin's edge of the lips to the opening between them.
UPPER_OUTER: Contour = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
UPPER_MIDDLE_OUTER: Contour = (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306)
UPPER_MIDDLE_INNER: Contour = (62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292)
UPPER_INNER: Contour = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_OUTER: Contour = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
LOWER_MIDDLE_OUTER: Contour = (76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306)
LOWER_MIDDLE_INNER: Contour = (62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292)
LOWER_INNER: Contour = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_LIP = (UPPER_OUTER, UPPER_MIDDLE_OUTER, UPPER_MIDDLE_INNER, UPPER_INNER)
LOWER_LIP = (LOWER_OUTER, LOWER_MIDDLE_OUTER, LOWER_MIDDLE_INNER, LOWER_INNER)

ALONG = (-1.0, -0.85, -0.70, -0.51, -0.28, 0.0, 0.28, 0.51, 0.70, 0.85, 1.0)
"""Positions of a ring's eleven points between the corners of a mouth seen from the front."""
LIPS_MIDDLE = (13, 14)
"""Inner edges of the upper and the lower lip on the face's midline."""

CORNER_LEFT, CORNER_RIGHT = 61, 291
INNER_CORNER_LEFT, INNER_CORNER_RIGHT = 78, 308
CHIN_TIP = 152
EYE_OUTER_LEFT, EYE_OUTER_RIGHT = 33, 263

CHIN: Contour = (
    *(152, 148, 176, 149, 150, 136, 172, 377, 400, 378, 379, 365, 397, 175, 199, 200, 18, 83, 313, 182, 406),
    *(171, 396, 208, 428, 201, 421, 194, 418, 32, 262),
)
JAW_SIDES: Contour = (58, 132, 93, 288, 361, 323, 138, 215, 177, 367, 435, 401)
CHEEKS: Contour = (
    *(50, 280, 101, 330, 205, 425, 187, 411, 207, 427, 216, 436, 206, 426, 203, 423, 192, 416, 214, 434),
    *(212, 432, 202, 422, 57, 287, 186, 410, 92, 322, 165, 391, 164, 167, 393),
)
# Picture's left, then right: from the wing of the nose past the corner of the mouth; from cheek to jaw.
NASOLABIAL: tuple[Contour, Contour] = ((129, 203, 206, 216, 212), (358, 423, 426, 436, 432))
CHEEK_HOLLOW: tuple[Contour, Contour] = ((187, 192, 214), (411, 416, 434))
UNDER_LIP: Contour = (182, 83, 18, 313, 406)
NOSE: Contour = (1, 2, 4, 5, 6, 19, 94, 97, 326, 98, 327, 168, 197, 195, 45, 275, 48, 278, 64, 294)
EYES_AND_BROWS: Contour = (33, 133, 159, 145, 263, 362, 386, 374, 70, 105, 107, 336, 334, 300, 9, 10, 67, 297)
UPPER_OVAL: Contour = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 127, 162, 21, 54, 103, 67, 109, 234)

# Lids from one eye corner to the other.
LEFT_EYE_UPPER: Contour = (33, 246, 161, 160, 159, 158, 157, 173, 133)
LEFT_EYE_LOWER: Contour = (33, 7, 163, 144, 145, 153, 154, 155, 133)
RIGHT_EYE_UPPER: Contour = (362, 398, 384, 385, 386, 387, 388, 466, 263)
RIGHT_EYE_LOWER: Contour = (362, 382, 381, 380, 374, 373, 390, 249, 263)
EYES = ((LEFT_EYE_UPPER, LEFT_EYE_LOWER), (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER))

SKIN_SAMPLES: Contour = (50, 280, 205, 425, 101, 330)
