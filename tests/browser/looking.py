"""What an eye would find wrong with the outputs of a notebook, found by measuring: contrast, overlaps, overflow.

    cell ──▶ every text in its outputs, HTML and SVG ──▶ its colour against what is painted under it     (WCAG 2.2, 1.4.3)
                                                     └──▶ labels on other labels, labels outside of their picture
         ──▶ every box in its outputs ──▶ wider inside than outside

JupyterLab shows an SVG output as an image; it is put on the page as elements while it is measured. Elements are those
that a browser paints, at the places where it paints them.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator

CONTRAST_MIN = 4.5

_MEASURE = r"""
root => {
    const images = [...root.querySelectorAll('img[src^="data:image/svg+xml"]')]
    const drawn = images.map(image => {
        const comma = image.src.indexOf(','), data = image.src.slice(comma + 1)
        const bytes = image.src.slice(0, comma).includes('base64')
            ? new TextDecoder().decode(Uint8Array.from(atob(data), c => c.charCodeAt(0))) : decodeURIComponent(data)
        const holder = document.createElement('div')
        holder.innerHTML = bytes.slice(bytes.indexOf('<svg'))
        image.after(holder)
        return holder
    })

    const colour = text => {
        const part = (text.match(/rgba?\(([^)]*)\)/) ?? [, '0,0,0,0'])[1].split(/[\s,\/]+/).filter(Boolean).map(Number)
        return {rgb: part.slice(0, 3), alpha: part.length > 3 ? part[3] : 1}
    }
    const over = (top, under) => top.rgb.map((value, at) => value * top.alpha + under[at] * (1 - top.alpha))
    const light = rgb => rgb.map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0)
    const contrast = (a, b) => {
        const [low, high] = [light(a), light(b)].sort((x, y) => x - y)
        return (high + 0.05) / (low + 0.05)
    }
    const covers = (box, x, y) => box.left <= x && x <= box.right && box.top <= y && y <= box.bottom
    const visible = element => element.checkVisibility({visibilityProperty: true, opacityProperty: true})

    // The layers of paint under a place, the lowest first: backgrounds of the ancestors, and shapes drawn before.
    const under = (element, x, y) => {
        const layers = []
        for (let at = element; at; at = at.parentElement) {
            if (at instanceof SVGSVGElement && at.parentElement && !at.parentElement.closest('svg')) {
                for (const shape of [...at.querySelectorAll('rect, circle, ellipse, path, polygon')].reverse()) {
                    const style = getComputedStyle(shape)
                    const before = shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING
                    if (before && style.fill !== 'none' && covers(shape.getBoundingClientRect(), x, y)) {
                        const paint = colour(style.fill)
                        layers.push({rgb: paint.rgb, alpha: paint.alpha * style.fillOpacity * style.opacity})
                    }
                }
            }
            if (!(at instanceof SVGElement)) layers.push(colour(getComputedStyle(at).backgroundColor))
        }
        return layers.reverse().reduce((paper, layer) => over(layer, paper), [255, 255, 255])
    }

    const faint = [], seen = new Map()
    const judge = (element, ink, box, text) => {
        if (box.width < 1 || box.height < 1) return
        for (const share of [0.1, 0.5, 0.9]) {
            const paper = under(element, box.left + box.width * share, box.top + box.height / 2)
            const ratio = contrast(over(ink, paper), paper)
            seen.set(text, Math.min(ratio, seen.get(text) ?? 99))
        }
    }
    const texts = []
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT)
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
        const element = node.parentElement, text = node.data.trim()
        if (!text || !visible(element) || element.closest('title, desc, style, script, .jp-OutputPrompt')) continue
        const style = getComputedStyle(element), inside = element.closest('text')
        if (inside) {
            judge(inside, colour(style.fill), inside.getBoundingClientRect(), text)
            if (!texts.some(other => other.element === inside)) texts.push({element: inside, text})
        } else {
            const range = document.createRange()
            range.selectNodeContents(node)
            judge(element, colour(style.color), range.getClientRects()[0] ?? range.getBoundingClientRect(), text)
        }
    }
    for (const [text, ratio] of seen) faint.push([text.slice(0, 80), Math.round(ratio * 100) / 100])

    const overlapping = [], outside = []
    texts.forEach(({element, text}, at) => {
        const box = element.getBoundingClientRect()
        const svgs = [...Array(9)].reduce(([top]) => [top.parentElement?.closest('svg') ?? top], [element.closest('svg')])
        const sheet = svgs[0].getBoundingClientRect()
        if (box.left < sheet.left - 1 || box.right > sheet.right + 1 || box.top < sheet.top - 1 || box.bottom > sheet.bottom + 1)
            outside.push(text)
        for (const other of texts.slice(at + 1)) {
            const its = other.element.getBoundingClientRect()
            const width = Math.min(box.right, its.right) - Math.max(box.left, its.left)
            const height = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top)
            if (width > 1 && height > 4) overlapping.push([text, other.text])
        }
    })

    drawn.forEach(holder => holder.remove())
    const wide = [root, ...root.querySelectorAll('*')]
        .filter(element => !(element instanceof SVGElement) && visible(element) && getComputedStyle(element).display !== 'inline')
        .filter(element => element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0)
        .map(element => `${element.tagName.toLowerCase()}.${element.className}: ${element.scrollWidth} in ${element.clientWidth}`)
    const small = images.filter(image => image.naturalWidth > image.getBoundingClientRect().width + 1)
        .map(image => `image of ${image.naturalWidth} px shown ${Math.round(image.getBoundingClientRect().width)} px wide`)
    return {contrast: faint, overlapping, outside, wide, small}
}
"""


def measured(cell: Locator) -> dict[str, Any]:
    """What stands in a cell's outputs: each text's `contrast`, labels that are `overlapping` or `outside` of their
    picture, boxes that are too `wide` for where they stand, pictures that are shown too `small`."""
    found: dict[str, Any] = cell.locator(".jp-Cell-outputWrapper").evaluate(_MEASURE)
    return found


def faults(cell: Locator) -> list[str]:
    """What is wrong with a cell's outputs, each in a few words; nothing where all is well."""
    found = measured(cell)
    return [
        *(f"contrast {ratio}: {text!r}" for text, ratio in found["contrast"] if ratio < CONTRAST_MIN),
        *(f"{one!r} lies on {other!r}" for one, other in found["overlapping"]),
        *(f"{text!r} leaves its picture" for text in found["outside"]),
        *(f"too wide: {box}" for box in found["wide"]),
        *found["small"],
    ]
